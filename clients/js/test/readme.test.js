// What the README shows does what it says.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { promisify } from "node:util";
import { token, url } from "./world.js";

const folder = new URL("..", import.meta.url);
const readme = await readFile(new URL("README.md", folder), "utf8");
const sub = `user-${randomUUID()}`;
const secret = await token(sub);

const PRINTED = [
  /^(.*\n)*stop assistant\n(.*\n)*$/,
  /^Said to two\. *\n$/,
  /^0 chats\ncreated Notes on scribes\nassistant Who was Avicenna\? *\nuser Who was Avi.*\n.*Avicenna.*\n$/,
  new RegExp(`^user:${sub}\n$`),
  /^MODEL_NOT_FOUND 404 false\n$/,
];

const snippets = [...readme.matchAll(/^```js\n(.*?)^```$/gms)].map(([, code]) => code);

test("each snippet has what it prints", () => assert.equal(snippets.length, PRINTED.length));

for (const [number, snippet] of snippets.entries()) {
  test(`snippet ${number + 1} runs, and ends by itself`, async () => {
    const code = snippet.replaceAll("http://localhost:3000", url).replaceAll("TOKEN", secret);
    const run = promisify(execFile)("node", ["--input-type=module", "--eval", code], {
      cwd: folder,
      timeout: 30_000,
    });
    assert.match((await run).stdout, PRINTED[number]);
  });
}
