/** Before the first message. */

import { useTexts } from "../common/i18n.js";
import { html } from "../common/html.js";

export function Welcome() {
  const t = useTexts();
  return html`
    <div class="welcome">
      <p class="welcome-title">${t("welcome")}</p>
      <p class="soft">${t("welcomeHint")}</p>
    </div>
  `;
}
