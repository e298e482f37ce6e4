// Feeds the bytes on stdin to eventsource-parser, cut in two at every border of two bytes, and one
// by one. Prints the events of the uncut bytes, then how many ways of cutting gave other events.
import { readFileSync } from 'node:fs';
import { createParser } from 'eventsource-parser';

const bytes = readFileSync(0);

function parsed(chunks) {
  const events = [];
  const parser = createParser({
    onEvent: ({ id, event, data }) => events.push([id, event, data]),
    onError: (error) => events.push(['error', String(error), '']),
  });
  const decoder = new TextDecoder();
  for (const chunk of chunks) parser.feed(decoder.decode(chunk, { stream: true }));
  return events;
}

const whole = JSON.stringify(parsed([bytes]));
console.log(whole);
let different = Number(JSON.stringify(parsed([...bytes].map((byte) => Uint8Array.of(byte)))) !== whole);
for (let at = 1; at < bytes.length; at += 1) {
  const events = parsed([bytes.subarray(0, at), bytes.subarray(at)]);
  different += Number(JSON.stringify(events) !== whole);
}
console.log(different);
