use super::*;

const HEAD: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<ListBucketResult \
    xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Name>b</Name><Prefix/><!-- > -->";
const OBJECT: &str = "<Contents><Key>a+b%2B%C3%A9</Key>\
    <LastModified>2019-01-02T03:04:05.000Z</LastModified><ETag>&quot;e-2&quot;</ETag>\
    <Size>7</Size><Owner><ID>me</ID><DisplayName>Key</DisplayName></Owner>\
    <StorageClass>STANDARD</StorageClass></Contents>";

/// Whatever way the document is cut, the page is the same.
fn scan(body: &str, encoding: Encoding) -> Result<Page, PageError> {
    let pieces = |size: usize| {
        let mut parser = PageParser::new(&RecordPrefix::new("b"), encoding, 0);
        for piece in body.as_bytes().chunks(size) {
            parser.feed(piece)?;
        }
        parser.finish()
    };
    let whole = pieces(body.len().max(1));
    for size in [1, 7, 64] {
        assert_eq!(format!("{:?}", pieces(size)), format!("{whole:?}"));
    }
    whole
}

fn lines(body: &str, encoding: Encoding) -> String {
    let page = scan(body, encoding).unwrap();
    let all = 0..page.len();
    String::from_utf8(page.into_lines(&all)).unwrap()
}

#[test]
fn the_declared_encoding_counts_before_or_after_the_keys() {
    let encoding = "<EncodingType>url</EncodingType>";
    let rest = "<IsTruncated>false</IsTruncated>";
    let decoded = "{\"bucket\":\"b\",\"key\":\"a b+é\",\"etag\":\"e-2\",\"size\":7,\
        \"last_modified\":\"2019-01-02T03:04:05.000Z\"}\n";
    let end = "</ListBucketResult>";
    let before = format!("{HEAD}{encoding}{rest}{OBJECT}{end}");
    let after = format!("{HEAD}{rest}{OBJECT}{encoding}{end}");
    let without = format!("{HEAD}{rest}{OBJECT}{end}");
    assert_eq!(lines(&before, Encoding::Url), decoded);
    assert_eq!(lines(&after, Encoding::Url), decoded);
    let raw = decoded.replace("a b+é", "a+b%2B%C3%A9");
    assert_eq!(lines(&without, Encoding::Plain), raw);
    let other = |body: &str, encoding| scan(body, encoding).err();
    for body in [&before, &after] {
        let said = other(body, Encoding::Plain);
        assert_eq!(said, Some(PageError::Encoding(Encoding::Url)));
    }
    let said = other(&without, Encoding::Url);
    assert_eq!(said, Some(PageError::Encoding(Encoding::Plain)));
}

#[test]
fn a_page_returns_any_range_of_its_lines() {
    let objects: String = ["a", "b&amp;&#x22;", "c\u{1f600}"]
        .map(|key| format!("<Contents><Key>{key}</Key></Contents>"))
        .concat();
    let body = format!(
        "{HEAD}<KeyCount>4</KeyCount><IsTruncated>true</IsTruncated>{objects}<CommonPrefixes>\
         <Prefix>p/</Prefix></CommonPrefixes><NextContinuationToken>t&amp;</NextContinuationToken>\
         </ListBucketResult>"
    );
    let page = || scan(&body, Encoding::Plain).unwrap();
    let keys: Vec<_> = (0..3).map(|at| page().key(at).into_owned()).collect();
    assert_eq!(keys, ["a", "b&\"", "c\u{1f600}"]);
    assert_eq!(page().prefixes, ["p/"]);
    assert!(matches!(page().next(), Continuation::More(Some(token)) if token == "t&"));
    let line = b"{\"bucket\":\"b\",\"key\":\"b&\\\"\"}\n";
    assert_eq!(page().into_lines(&(1..2)), line);
    assert_eq!(page().into_lines(&(2..2)), b"");
}

#[test]
fn an_incomplete_document_is_not_a_page() {
    let body = format!("{HEAD}<IsTruncated>false</IsTruncated>{OBJECT}</ListBucketResult>");
    for end in 0..body.len() {
        let cut = scan(&body[..end], Encoding::Plain);
        assert_eq!(cut.err(), Some(PageError::Incomplete), "{end}");
    }
    let page = scan(
        &body.replace("<IsTruncated>false</IsTruncated>", ""),
        Encoding::Plain,
    );
    assert_eq!(page.err(), Some(PageError::Incomplete));
    let page = scan(
        &body.replace("<Name>b</Name>", "<KeyCount>2</KeyCount>"),
        Encoding::Plain,
    );
    assert_eq!(page.err(), Some(PageError::Count(2, 1)));
}

#[test]
fn invalid_documents_are_reported() {
    let scan = |body: &str| scan(body, Encoding::Plain).err();
    assert_eq!(
        scan("<Error><Code>SlowDown</Code></Error>"),
        Some(PageError::NotAListing)
    );
    let whole = format!("{HEAD}<IsTruncated>false</IsTruncated>{OBJECT}</ListBucketResult>");
    for (part, instead, said) in [
        ("<Key>a+b", "<Key><b>a</b>", "an element"),
        ("<Key>a+b%2B%C3%A9</Key>", "", "without a key"),
    ] {
        let Some(PageError::Invalid(why)) = scan(&whole.replace(part, instead)) else {
            panic!("{instead}")
        };
        assert!(why.contains(said), "{why}");
    }
}

#[test]
fn a_member_that_cannot_be_read_is_left_out_and_noted() {
    let whole =
        format!("{HEAD}<IsTruncated>false</IsTruncated>{OBJECT}{OBJECT}</ListBucketResult>");
    for (part, instead, member, left) in [
        ("<Size>7", "<Size>seven", "size", "seven"),
        ("<Size>7", "<Size>", "size", ""),
        (
            "2019-01-02T03:04:05.000Z",
            "yesterday",
            "last_modified",
            "yesterday",
        ),
        ("&quot;e-2", "&what;e-2", "etag", "&what;e-2&quot;"),
    ] {
        let page = scan(&whole.replace(part, instead), Encoding::Plain).unwrap();
        assert_eq!(page.oddities, [Oddity::Member(member, left.to_owned())]);
        let lines = String::from_utf8(page.into_lines(&(0..2))).unwrap();
        assert_eq!(lines.lines().count(), 2, "{lines}");
        assert!(!lines.contains(&format!("\"{member}\":")), "{lines}");
    }
    let http = whole.replace("2019-01-02T03:04:05.000Z", "Wed, 02 Jan 2019 03:04:05 GMT");
    let (page, plain) = (scan(&http, Encoding::Plain), scan(&whole, Encoding::Plain));
    let (page, plain) = (page.unwrap(), plain.unwrap());
    assert_eq!(page.oddities, []);
    assert_eq!(page.into_lines(&(0..2)), plain.into_lines(&(0..2)));
}

#[test]
fn a_key_that_cannot_be_read_is_left_out_alone() {
    for (key, encoding, declared) in [
        ("&what;", Encoding::Plain, ""),
        ("&#xd800;", Encoding::Plain, ""),
        ("%ff", Encoding::Url, "<EncodingType>url</EncodingType>"),
    ] {
        let body = format!(
            "{HEAD}{declared}<KeyCount>3</KeyCount><IsTruncated>false</IsTruncated>\
             <Contents><Key>a</Key></Contents><Contents><Key>{key}</Key><Size>1</Size></Contents>\
             <Contents><Key>z</Key></Contents></ListBucketResult>"
        );
        let page = scan(&body, encoding).unwrap();
        let keys: Vec<_> = (0..page.len())
            .map(|at| page.key(at).into_owned())
            .collect();
        assert_eq!(keys, ["a", "z"]);
        assert_eq!(page.oddities, [Oddity::Key(key.to_owned())]);
    }
}

#[test]
fn the_order_of_an_objects_elements_does_not_matter() {
    let elements = [
        "<Key>a</Key>",
        "<LastModified>2019-01-02T03:04:05.000Z</LastModified>",
        "<ETag>&quot;e&quot;</ETag>",
        "<ChecksumAlgorithm>CRC32</ChecksumAlgorithm>",
        "<Size>7</Size>",
    ];
    let expected = "{\"bucket\":\"b\",\"key\":\"a\",\"etag\":\"e\",\"size\":7,\
        \"last_modified\":\"2019-01-02T03:04:05.000Z\"}\n";
    for first in 0..elements.len() {
        for gap in ["", "\n  "] {
            let mut inner = elements.map(|element| format!("{gap}{element}"));
            inner.rotate_left(first);
            let object = format!("{gap}<Contents>{}{gap}</Contents>", inner.concat());
            let body = format!("{HEAD}{object}<IsTruncated>false</IsTruncated></ListBucketResult>");
            assert_eq!(lines(&body, Encoding::Plain), expected, "{object}");
        }
    }
}

#[test]
fn escapes_are_resolved_once() {
    for (raw, key) in [
        ("a%2B+%41b", "a+ Ab"),
        ("%252B", "%2B"),
        ("%", "%"),
        ("%4", "%4"),
        ("%zz%C3%a9", "%zzé"),
        ("++a", "  a"),
    ] {
        let body = format!(
            "{HEAD}<EncodingType>url</EncodingType><IsTruncated>false</IsTruncated>\
             <Contents><Key>{raw}</Key></Contents></ListBucketResult>"
        );
        assert_eq!(scan(&body, Encoding::Url).unwrap().key(0), key, "{raw}");
    }
}

#[test]
fn only_true_and_false_say_whether_a_page_is_truncated() {
    let next = |text: &str| {
        let body = format!("{HEAD}{OBJECT}<IsTruncated>{text}</IsTruncated></ListBucketResult>");
        scan(&body, Encoding::Plain).map(|page| page.next())
    };
    for text in ["true", "True", " TRUE ", "1"] {
        assert_eq!(next(text), Ok(Continuation::More(None)), "{text}");
    }
    for text in ["false", "False", "0\n"] {
        assert_eq!(next(text), Ok(Continuation::End), "{text}");
    }
    for text in ["", "yes", "truee"] {
        assert!(matches!(next(text), Err(PageError::Invalid(_))), "{text}");
    }
}

#[test]
fn variants_of_other_servers_are_read() {
    let document =
        |inner: &str| format!("{HEAD}<IsTruncated>false</IsTruncated>{inner}</ListBucketResult>");
    // A number is written as JSON has it.
    for (size, written) in [("+7", "7"), ("007", "7"), ("0", "0"), ("70", "70")] {
        let body = document(&OBJECT.replace("<Size>7", &format!("<Size>{size}")));
        let lines = lines(&body, Encoding::Plain);
        assert!(lines.contains(&format!("\"size\":{written},")), "{lines}");
    }
    // A count of the keys alone; an empty token.
    let prefixes = "<CommonPrefixes><Prefix>p/</Prefix></CommonPrefixes>";
    let token = "<NextContinuationToken></NextContinuationToken>";
    let body = document(&format!("<KeyCount>1</KeyCount>{token}{OBJECT}{prefixes}"));
    let page = scan(&body.replace("false", "true"), Encoding::Plain).unwrap();
    assert_eq!((page.len(), page.next()), (1, Continuation::More(None)));
    // An object without anything.
    let empty = scan(&document("<Contents/>"), Encoding::Plain);
    assert!(matches!(empty, Err(PageError::Invalid(why)) if why.contains("without a key")));
    // What cannot be decoded is no escape, where the server does not say so.
    let raw = document("<Contents><Key>100%ff</Key></Contents>");
    let error = scan(&raw, Encoding::Url).err();
    assert_eq!(error, Some(PageError::Encoding(Encoding::Plain)));
    assert_eq!(scan(&raw, Encoding::Plain).unwrap().key(0), "100%ff");
}
