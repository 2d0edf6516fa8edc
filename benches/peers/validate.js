// Passes the lines whose build ajv finds valid.
const fs = require("fs");
const readline = require("readline");
const Ajv = require("ajv");

const schema = JSON.parse(fs.readFileSync(process.argv[2]));
const valid = new Ajv({ validateFormats: false, allErrors: false }).compile(schema);
let out = [];
const flush = () => {
  fs.writeSync(1, out.join("\n") + "\n");
  out = [];
};
readline
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    if (valid(JSON.parse(line).build)) out.push(line);
    if (out.length === 1000) flush();
  })
  .on("close", () => out.length && flush());
