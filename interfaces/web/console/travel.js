/** A slider over the events of a chat, with buttons to step and to play them. */

import { useEffect, useState } from "preact/hooks";
import { html } from "../common/html.js";
import { Time, topicWords } from "./words.js";

const A_STEP = 900;

/** @param {{steps: object[], index: number, turn: (index: number) => void}} props */
export function Travel({ steps, index, turn }) {
  const [playing, setPlaying] = useState(false);
  const last = steps.length - 1;
  const step = steps[index];

  useEffect(() => {
    if (!playing) return undefined;
    if (index === last) {
      setPlaying(false);
      return undefined;
    }
    const timer = setTimeout(() => turn(index + 1), A_STEP);
    return () => clearTimeout(timer);
  }, [playing, index, last]);

  function play() {
    if (!playing && index === last) turn(0);
    setPlaying(!playing);
  }

  const told = `Position ${step.position}, ${topicWords(step.topic)}, event ${index + 1} of ${last + 1}`;
  return html`
    <div class="travel" role="group" aria-label="Travel in time">
      <button type="button" aria-label="Previous event" disabled=${index === 0}
        onClick=${() => turn(index - 1)}>‹</button>
      <button type="button" class="play" disabled=${last === 0} onClick=${play}>
        ${playing ? "Pause" : "Play"}
      </button>
      <button type="button" aria-label="Next event" disabled=${index === last}
        onClick=${() => turn(index + 1)}>›</button>
      <input type="range" aria-label="Position" min="0" max=${last} value=${index}
        aria-valuetext=${told}
        onInput=${(event) => turn(event.target.valueAsNumber)} />
      <output>
        <b>${index + 1}</b> of ${last + 1} · position <b>${step.position}</b> · <${Time} at=${step.at} />
      </output>
    </div>
  `;
}
