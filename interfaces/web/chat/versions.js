/** ‹ 2/3 › — the versions of a question or an answer. */

import { number } from "../common/formats.js";
import { useTexts } from "../common/i18n.js";
import { html } from "../common/html.js";
import { Icon } from "../common/icons.js";
import { selectVersion } from "./open_chat.js";
import { isBusy } from "./replies.js";
import { useStore } from "./store.js";
import { telling } from "./toasts.js";

export function Versions({ message }) {
  const t = useTexts();
  const busy = useStore(isBusy);
  const { versions = [], id } = message;
  if (versions.length < 2) return null;
  const at = versions.indexOf(id);

  const step = (name, label, to) => html`
    <button type="button" class="quiet icon" aria-label=${label} title=${label}
      disabled=${busy || !versions[to]} onClick=${() => telling(selectVersion(versions[to]))}>
      <${Icon} name=${name} class="mirrored" />
    </button>
  `;
  return html`
    <span class="versions" role="group" aria-label=${t("versions")}>
      ${step("left", t("previousVersion"), at - 1)}
      <span class="numbers" dir="ltr">${number(at + 1)}/${number(versions.length)}</span>
      ${step("right", t("nextVersion"), at + 1)}
    </span>
  `;
}
