/** A task of the server that is started here and followed until it ends. */

import { useEffect, useState } from "preact/hooks";
import { useAnswer } from "./answers.js";
import { post, Refused } from "./api.js";

const WHILE_RUNNING = 400;
const ELSE = 5000;

/**
 * @param {string} route  POST starts one, GET `route/latest` tells of the last one
 * @param {() => void} onEnd  called when one that was seen running is over
 */
export function useTask(route, onEnd) {
  const [starting, setStarting] = useState(false);
  const [running, setRunning] = useState(false);
  const [refusal, setRefusal] = useState(null);
  const latest = useAnswer(`${route}/latest`, {}, { every: running ? WHILE_RUNNING : ELSE });
  const state = latest.answer?.state;

  useEffect(() => {
    if (state === undefined) return;
    if (running && state !== "running") onEnd();
    setRunning(state === "running");
  }, [state]);

  async function start() {
    setRefusal(null);
    setStarting(true);
    try {
      await post(route);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      setRefusal(error);
    }
    setStarting(false);
    latest.again();
  }

  return { latest, running: starting || running, refusal, start };
}
