// What the package @actions/expressions makes of expressions: reads {context, cases} as JSON on stdin, writes the values.
// Run where the package is installed (npm install @actions/expressions), by tests/spec/test_expressions_github.py.
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";
import { join } from "node:path";

const packages = process.argv[2];
const entry = join(packages, "@actions", "expressions", "dist", "index.js");
const { Parser, Lexer, Evaluator, data } = await import(pathToFileURL(entry));

const { context, cases } = JSON.parse(readFileSync(0, "utf8"));
const given = JSON.parse(JSON.stringify(context), data.reviver);

function evaluate(text) {
  try {
    const tree = new Parser(new Lexer(text).lex().tokens, Object.keys(context), []).parse();
    const value = new Evaluator(tree, given).evaluate();
    return { value: JSON.parse(JSON.stringify(value, data.replacer) ?? "null"), text: value.coerceString() };
  } catch (error) {
    return { error: true };
  }
}

process.stdout.write(JSON.stringify(cases.map(evaluate)));
