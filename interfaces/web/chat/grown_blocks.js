/** The blocks of a text that grows, most of which were read before. */

import { blocksOf, placeOfItems } from "../common/markdown.js";

/** A line that is not whole yet can still change the block before its own. */
const STILL_OPEN = 2;
/** Of a long list only the last items are read again. */
const OPEN_ITEMS = 10;

/** The text that no later one can change, and its blocks. `goesOn`: it ends within a list. */
export const nothingClosed = () => ({ source: "", blocks: [], goesOn: false });

/**
 * @param {{source: string, blocks: object[], goesOn: boolean}} closed is changed
 * @returns {object[]} all blocks. One that `goesOn` is a part of the list before it.
 */
export function grownBlocks(closed, source) {
  if (!source.startsWith(closed.source)) Object.assign(closed, nothingClosed());
  const rest = source.slice(closed.source.length);
  const blocks = blocksOf(rest);
  const place = blocks.length ? placeOfItems(blocks.at(-1), OPEN_ITEMS) : null;
  const end = place ?? blocks.at(-STILL_OPEN - 1)?.end ?? 0;
  const done = place ? blocksOf(rest.slice(0, end)) : blocks.slice(0, -STILL_OPEN);
  const open = place ? blocksOf(rest.slice(end)) : blocks.slice(done.length);

  if (end) {
    closed.blocks.push(...marked(done, closed.goesOn));
    closed.source += rest.slice(0, end);
    closed.goesOn = place !== null;
  }
  return [...closed.blocks, ...marked(open, closed.goesOn)];
}

const marked = ([first, ...others], goesOn) => (first ? [{ ...first, goesOn }, ...others] : []);
