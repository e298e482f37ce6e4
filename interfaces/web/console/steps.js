/** The events of a chat as a list, the present one marked and in sight. */

import { useEffect, useRef } from "preact/hooks";
import { html } from "../common/html.js";
import { onlyWhenChanged } from "../common/only_when_changed.js";
import { addressOf } from "./address.js";
import { Time, topicWords } from "./words.js";

export function Steps({ chatId, steps, index }) {
  const list = useRef(null);

  useEffect(() => {
    // Not scrollIntoView: it would move the page too.
    const row = list.current.children[index];
    const above = row.offsetTop - list.current.offsetTop;
    const { scrollTop, clientHeight } = list.current;
    if (above < scrollTop) list.current.scrollTop = above;
    if (above + row.offsetHeight > scrollTop + clientHeight) {
      list.current.scrollTop = above + row.offsetHeight - clientHeight;
    }
  }, [index]);

  return html`
    <ol class="steps" ref=${list} aria-label="Events of the chat" tabindex="0">
      ${steps.map((step, at) => html`
        <${Step} key=${step.position} chatId=${chatId} step=${step} place=${Math.sign(at - index)} />
      `)}
    </ol>
  `;
}

/** There may be thousands, and the slider changes a few of them. `place`: -1 before the present one. */
const Step = onlyWhenChanged(({ chatId, step, place }) => html`
  <li class=${place > 0 ? "later" : null}>
    <a href=${addressOf("chats", chatId, { at: step.position })} aria-current=${place === 0 ? "step" : null}>
      <span class="number">${step.position}</span>
      <b>${topicWords(step.topic)}</b>
      <${Time} at=${step.at} />
      <span class="hint" dir="auto">${step.label}${step.actor && html` · <bdi>${step.actor}</bdi>`}</span>
    </a>
  </li>
`);
