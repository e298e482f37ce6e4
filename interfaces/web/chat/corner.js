/** The foot of the sidebar: what is left to spend, who is signed in, language and theme. */

import { chooseLanguage, currentLanguage, LANGUAGES, useTexts } from "../common/i18n.js";
import { html } from "../common/html.js";
import { Icon } from "../common/icons.js";
import { chooseTheme, currentTheme, THEMES } from "../common/look.js";
import { openSignIn, signOut } from "./account.js";
import { change, useStore } from "./store.js";
import { Usage } from "./usage.js";

export function Corner() {
  const t = useTexts();
  const signedIn = useStore((state) => state.session?.kind === "user");
  const expired = useStore((state) => state.expired);
  const principal = useStore((state) => state.session?.principal);

  return html`
    <div class="corner">
      <${Usage} />
      <div class="corner-row">
        ${signedIn && html`<span class="who" dir="auto">${principal.replace(/^user:/, "")}</span>`}
        ${signedIn || expired
          ? html`<button type="button" class="quiet" onClick=${signOut}>
              <${Icon} name="leave" class="mirrored" />${t("signOut")}</button>`
          : html`<button type="button" onClick=${openSignIn}>
              <${Icon} name="key" />${t("signIn")}</button>`}
        <button type="button" class="quiet icon" aria-label=${t("shortcuts")} title=${t("shortcuts")}
          onClick=${() => change({ dialog: { name: "shortcuts" } })}><${Icon} name="keyboard" /></button>
      </div>
      <div class="corner-row">
        <select class="plain" aria-label=${t("language")} value=${currentLanguage()}
          onChange=${(event) => chooseLanguage(event.target.value)}>
          ${Object.entries(LANGUAGES).map(([code, name]) => html`
            <option value=${code} lang=${code}>${name}</option>
          `)}
        </select>
        <select class="plain" aria-label=${t("theme")} value=${currentTheme()}
          onChange=${(event) => chooseTheme(event.target.value)}>
          ${THEMES.map((theme) => html`<option value=${theme}>${t(theme)}</option>`)}
        </select>
      </div>
    </div>
  `;
}
