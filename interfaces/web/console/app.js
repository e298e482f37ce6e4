/** The console: whoever signed in, the sections, and the one that the address names. */

import { render } from "preact";
import { useEffect, useState } from "preact/hooks";
import { html } from "../common/html.js";
import { addressOf, useAddress } from "./address.js";
import { session, signOut } from "./api.js";
import { Audit } from "./audit.js";
import { Log } from "./log.js";
import { Overview } from "./overview.js";
import { Principals } from "./principals.js";
import { Projections } from "./projections.js";
import { reasonOf, SignIn } from "./sign_in.js";
import { Chats } from "./timeline.js";

const SECTIONS = {
  overview: ["Overview", Overview],
  log: ["Log", Log],
  chats: ["Chats", Chats],
  audit: ["Audit", Audit],
  projections: ["Projections", Projections],
  principals: ["Principals", Principals],
};

function Console() {
  const [signedIn, setSignedIn] = useState(session.token !== null);
  const [reason, setReason] = useState(null);

  useEffect(() => {
    session.onEnd = (refused) => leave(reasonOf(refused));
  }, []);

  function leave(why = null) {
    signOut();
    setReason(why);
    setSignedIn(false);
  }

  if (!signedIn) return html`<${SignIn} reason=${reason} onSignedIn=${() => setSignedIn(true)} />`;
  return html`<${Sections} onSignOut=${() => leave()} />`;
}

function Sections({ onSignOut }) {
  const address = useAddress();
  const [title, Section] = SECTIONS[address.section] ?? ["Not here", NotHere];

  useEffect(() => {
    document.title = `${title} · Dabir console`;
  }, [title]);

  return html`
    <header class="bar">
      <a class="name" href=${addressOf("overview")}>Dabir</a>
      <nav aria-label="Console">
        ${Object.entries(SECTIONS).map(([section, [name]]) => html`
          <a href=${addressOf(section)} aria-current=${section === address.section ? "page" : null}>
            ${name}
          </a>
        `)}
      </nav>
      <button type="button" class="quiet" onClick=${onSignOut}>Sign out</button>
    </header>
    <main key=${address.section}>
      <h1>${title}</h1>
      <${Section} ...${address} />
    </main>
  `;
}

function NotHere() {
  return html`<p class="empty">There is no such section. <a href=${addressOf("overview")}>Overview</a></p>`;
}

render(html`<${Console} />`, document.getElementById("console"));
