/** A reply under way, for the eye: seen at most once per frame, however fast its pieces come. */

import { useEffect, useState } from "preact/hooks";

const CHANGES = ["started", "delta", "reasoning", "restart", "waiting"];
const NOTHING = { text: "", reasoning: "", state: "ended" };

/** @returns {{text: string, reasoning: string, state: string}} the client's reply as it is now */
export function useReply(reply) {
  const [, show] = useState(0);
  useEffect(() => {
    if (!reply) return undefined;
    let frame = null;
    const changed = () => {
      frame ??= requestAnimationFrame(() => {
        frame = null;
        show((count) => count + 1);
      });
    };
    const offs = CHANGES.map((name) => reply.on(name, changed));
    changed(); // what came before this was listening
    return () => {
      offs.forEach((off) => off());
      cancelAnimationFrame(frame);
    };
  }, [reply]);
  return reply ?? NOTHING;
}
