/** Line drawings, 20 by 20, in the colour of the text. They say nothing: buttons have names. */

import { html } from "./html.js";

const LINES = {
  archive: "M3 4h14v3.5H3zM4.5 7.5V16h11V7.5M8 10.5h4",
  bars: "M3.5 6h13M3.5 10h13M3.5 14h13",
  chats: "M4 4.5h12v8.5H9l-3.5 3v-3H4z",
  check: "M4.5 10.5l3.5 3.5 7.5-8",
  copy: "M7 7h9v9H7zM13 7V4H4v9h3",
  cross: "M5.5 5.5l9 9M14.5 5.5l-9 9",
  dots: "M5 10h.01M10 10h.01M15 10h.01",
  down: "M10 4.5v11M5.5 11l4.5 4.5 4.5-4.5",
  key: "M12.5 7.5h.01M9 10.5l-5.5 5.5v.5h2.5v-2h2v-2l1.5-1.5a4 4 0 1 0-1-1z",
  keyboard: "M2.5 5.5h15v9h-15zM5.5 8.5h.01M8.5 8.5h.01M11.5 8.5h.01M14.5 8.5h.01M6.5 11.5h7",
  left: "M12 5.5L7.5 10l4.5 4.5",
  leave: "M8 4H4.5v12H8M8.5 10H17M13.5 6.5L17 10l-3.5 3.5",
  pen: "M4 16l.8-3.4L13.6 3.8l2.6 2.6-8.8 8.8zM11.8 5.6l2.6 2.6",
  plus: "M10 4v12M4 10h12",
  redo: "M15.5 10a5.5 5.5 0 1 1-1.7-4M15.5 3.5V7H12",
  right: "M8 5.5L12.5 10 8 14.5",
  search: "M9 4a5 5 0 1 1 0 10A5 5 0 0 1 9 4zM12.7 12.7L16.5 16.5",
  send: "M10 16V4.5M5 9.5l5-5 5 5",
  trash: "M4 5.5h12M8 5.5V3.5h4v2M5.5 5.5l.7 11h7.6l.7-11M8.5 8.5v5M11.5 8.5v5",
  unarchive: "M3 4h14v3.5H3zM4.5 7.5V16h11V7.5M10 14v-4M8 11.5l2-2 2 2",
};

export const Icon = ({ name, size = 18, ...more }) => html`
  <svg width=${size} height=${size} viewBox="0 0 20 20" fill="none" stroke="currentColor" stroke-width="1.5"
    stroke-linecap="round" stroke-linejoin="round" aria-hidden="true" ...${more}>
    <path d=${LINES[name]} />
  </svg>
`;

export const StopIcon = () => html`
  <svg width="16" height="16" viewBox="0 0 16 16" fill="currentColor" aria-hidden="true">
    <rect x="3" y="3" width="10" height="10" rx="2" />
  </svg>
`;
