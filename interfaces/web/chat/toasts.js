/** Short notices, above everything, that go by themselves. */

import { hasText, text, useTexts } from "../common/i18n.js";
import { html } from "../common/html.js";
import { Icon } from "../common/icons.js";
import { change, now, useStore } from "./store.js";

const STAYS_MS = 8000;
let count = 0;

/** What went wrong, by its code in the reader's language, else in the service's words. */
export const reasonOf = (error) => (hasText(error.code) ? text(error.code, error.details) : error.message);

export function tell(said) {
  count += 1;
  const toast = { id: count, said };
  change({ toasts: [...now().toasts.slice(-2), toast] });
  setTimeout(() => dismiss(toast.id), STAYS_MS);
}

export const tellError = (error) => tell(reasonOf(error));

/** For what is asked of the service on a click: a failure is told, the answer or undefined returned. */
export async function telling(promise) {
  try {
    return await promise;
  } catch (error) {
    if (error.code === undefined) throw error;
    tellError(error);
    return undefined;
  }
}

const dismiss = (id) => change({ toasts: now().toasts.filter((toast) => toast.id !== id) });

export function Toasts() {
  const t = useTexts();
  const toasts = useStore((state) => state.toasts);
  return html`
    <div class="toasts">
      ${toasts.map(({ id, said }) => html`
        <div class="toast" key=${id} role="alert">
          <span dir="auto">${said}</span>
          <button type="button" class="quiet icon" aria-label=${t("dismiss")} onClick=${() => dismiss(id)}>
            <${Icon} name="cross" />
          </button>
        </div>
      `)}
    </div>
  `;
}
