/** Adding to a user's balance: once for each reference, whatever happens to the request. */

import { useState } from "preact/hooks";
import { html } from "../common/html.js";
import { Failure } from "./answers.js";
import { post, read, Refused } from "./api.js";
import { Confirm } from "./confirm.js";
import { nanosOf } from "./words.js";

const mintedReference = () => `console-${crypto.randomUUID()}`;

/** @param {{account: object, onDone: () => void}} props */
export function TopUp({ account, onDone }) {
  const [wanted, setWanted] = useState(null);
  const [outcome, setOutcome] = useState(null);
  const [reference, setReference] = useState(mintedReference);
  const route = `usage/${encodeURIComponent(account.principal)}`;

  function ask(event) {
    event.preventDefault();
    setOutcome(null);
    setWanted(Object.fromEntries(new FormData(event.target)));
  }

  async function add() {
    const topUp = wanted;
    setWanted(null);
    try {
      const before = await read(route);
      const after = await post(`${route}/top-up`, topUp);
      setOutcome({ added: received(after) > received(before), ...topUp, balance: after.balance });
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      // The reference stays: the same top-up can be tried again and counts once.
      setOutcome({ error });
    }
    onDone();
  }

  return html`
    <section aria-labelledby="top-up">
      <h2 id="top-up">Top-up</h2>
      <form class="filters" onSubmit=${ask}>
        <label>
          Amount, ${account.currency}
          <input name="amount" required pattern="[0-9]{1,12}([.][0-9]{1,9})?" inputmode="decimal"
            placeholder="5.00" title="A decimal, such as 5.00" autocomplete="off" />
        </label>
        <label class="wide">
          Reference
          <input name="reference" required maxlength="255" value=${reference} spellcheck=${false}
            autocomplete="off" onInput=${(event) => setReference(event.target.value)} />
        </label>
        <p class="actions">
          <button type="button" onClick=${() => setReference(mintedReference())}>New reference</button>
          <button class="primary">Top up</button>
        </p>
      </form>
      ${outcome && html`<${Outcome} outcome=${outcome} currency=${account.currency} />`}
      ${wanted && html`
        <${Confirm} title="Top up this account?" yes=${`Add ${wanted.amount} ${account.currency}`}
          onYes=${add} onNo=${() => setWanted(null)}>
          <p>
            <b>${wanted.amount} ${account.currency}</b> for <bdi>${account.principal}</bdi>, under the
            reference <code>${wanted.reference}</code>.
          </p>
        <//>
      `}
    </section>
  `;
}

function Outcome({ outcome, currency }) {
  if (outcome.error) return html`<${Failure} error=${outcome.error} />`;
  const { added, amount, reference, balance } = outcome;
  if (!added) {
    return html`
      <p class="notice" role="status">
        Nothing was added: the reference <code>${reference}</code> was already used for this top-up.
        The balance is ${balance} ${currency}.
      </p>
    `;
  }
  return html`
    <p class="notice good" role="status">
      ${amount} ${currency} were added. The balance is ${balance} ${currency}.
    </p>
  `;
}

/** All that the account ever got: charges move it from the balance to what is spent. */
const received = ({ balance, spent }) => nanosOf(balance) + nanosOf(spent);
