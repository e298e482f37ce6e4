/** Who has no token of an operator sees this, and nothing else. */

import { useState } from "preact/hooks";
import { html } from "../common/html.js";
import { signIn } from "./api.js";

const REASONS = {
  401: "The token is not valid, or it has expired.",
  403: "The token is valid, but it lacks the scope dabir:admin.",
};

export const reasonOf = (refused) => REASONS[refused.status] ?? refused.message;

/** @param {{reason: string | null, onSignedIn: () => void}} props */
export function SignIn({ reason, onSignedIn }) {
  const [refusal, setRefusal] = useState(reason);
  const [busy, setBusy] = useState(false);

  async function submit(event) {
    event.preventDefault();
    const token = new FormData(event.target).get("token").trim();
    setBusy(true);
    try {
      await signIn(token);
      onSignedIn();
    } catch (refused) {
      setRefusal(reasonOf(refused));
      setBusy(false);
    }
  }

  return html`
    <main class="sign-in">
      <h1>Dabir console</h1>
      <form onSubmit=${submit}>
        <label for="token">Token</label>
        <textarea id="token" name="token" rows="4" required autofocus spellcheck=${false}
          autocomplete="off" aria-describedby="token-hint"></textarea>
        <p id="token-hint" class="hint">
          One with the scope <code>dabir:admin</code>. It is kept until this tab is closed.
        </p>
        ${refusal && html`<p class="notice bad" role="alert">${refusal}</p>`}
        <button class="primary" disabled=${busy}>Sign in</button>
      </form>
      <details>
        <summary>Where does a token come from?</summary>
        <p>From your identity provider, or where tokens are signed with a shared secret:</p>
        <pre>dabir token mint --sub me --scope dabir:admin --expires 1h</pre>
      </details>
    </main>
  `;
}
