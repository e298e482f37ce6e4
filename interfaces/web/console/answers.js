/** Answers of the service as they are shown: asked for, renewed, and kept until there is a newer one. */

import { useEffect, useState } from "preact/hooks";
import { html } from "../common/html.js";
import { read, Refused, withQuery } from "./api.js";

const NOTHING = { of: null, answered: null, answer: null, failure: null };

/**
 * @param {string | null} path  null asks for nothing
 * @param {{every?: number}} options  milliseconds; a hidden tab asks for nothing
 * @returns {{answer: any, failure: Refused | null, waiting: boolean, again: () => void}}
 *   `answer` may be that of an earlier question while `waiting`.
 */
export function useAnswer(path, query = {}, { every = 0 } = {}) {
  const asked = path && withQuery(path, query);
  const [known, setKnown] = useState(NOTHING);
  const [times, setTimes] = useState(0);

  useEffect(() => {
    if (!asked) return undefined;
    const leaving = new AbortController();
    let timer = null;
    let busy = false;

    async function ask() {
      busy = true;
      try {
        const answer = await read(asked, leaving.signal);
        setKnown({ of: asked, answered: asked, answer, failure: null });
      } catch (error) {
        if (leaving.signal.aborted) return;
        if (!(error instanceof Refused)) throw error;
        // An old answer may stand beside it, but not one to another question.
        setKnown((last) => ({ ...(last.answered === asked ? last : NOTHING), of: asked, failure: error }));
      }
      busy = false;
      if (every && !document.hidden) timer = setTimeout(ask, every);
    }

    function seenAgain() {
      if (!every || document.hidden || busy) return;
      clearTimeout(timer);
      ask();
    }

    document.addEventListener("visibilitychange", seenAgain);
    ask();
    return () => {
      leaving.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seenAgain);
    };
  }, [asked, every, times]);

  return {
    answer: known.answer,
    failure: known.failure,
    waiting: known.of !== asked,
    again: () => setTimes((count) => count + 1),
  };
}

/** Shows `children(answer)`; before there is one, that it is awaited or why it does not come. */
export function Answered({ of, children }) {
  return html`
    ${of.failure && html`<${Failure} error=${of.failure} again=${of.again} />`}
    ${of.answer !== null && html`<div aria-busy=${String(of.waiting)}>${children(of.answer)}</div>`}
    ${of.answer === null && !of.failure && html`<p class="empty" role="status">Loading…</p>`}
  `;
}

export function Failure({ error, again }) {
  const mayPass = error.status === 0 || error.status >= 500;
  return html`
    <div class="notice bad" role="alert">
      <p>${error.message} <code>${error.code}</code></p>
      ${again && mayPass && html`<button type="button" onClick=${again}>Try again</button>`}
    </div>
  `;
}
