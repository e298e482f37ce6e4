/** What a chat was at two positions, to show the one and what changed since the other. */

import { useEffect, useRef, useState } from "preact/hooks";
import { read, Refused } from "./api.js";

/** A slider that is drawn along passes many positions: those it rests at are asked for. */
const REST = 60;

/**
 * @param {number | undefined} earlier  none before a chat's first event
 * @returns {{now: object | null, before: object | null, failure: Refused | null, waiting: boolean}}
 *   `now` and `before` are those of the last positions that were reached.
 */
export function usePast(chatId, position, earlier) {
  const known = useRef(new Map());
  const [shown, setShown] = useState({ position: null, now: null, before: null, failure: null });

  useEffect(() => {
    const leaving = new AbortController();

    async function at(wanted) {
      if (wanted === undefined) return null;
      if (!known.current.has(wanted)) {
        const route = `chats/${encodeURIComponent(chatId)}/at/${wanted}`;
        known.current.set(wanted, await read(route, leaving.signal));
      }
      return known.current.get(wanted);
    }

    async function reach() {
      try {
        const [now, before] = await Promise.all([at(position), at(earlier)]);
        if (!leaving.signal.aborted) setShown({ position, now, before, failure: null });
      } catch (error) {
        if (leaving.signal.aborted) return;
        if (!(error instanceof Refused)) throw error;
        setShown((last) => ({ ...last, position, failure: error }));
      }
    }

    const timer = setTimeout(reach, known.current.has(position) ? 0 : REST);
    return () => {
      leaving.abort();
      clearTimeout(timer);
    };
  }, [chatId, position, earlier]);

  return { ...shown, waiting: shown.position !== position };
}
