/** A modal dialog of the browser's own: it keeps the focus, gives it back, and Escape closes it. */

import { useEffect, useId, useRef } from "preact/hooks";
import { html } from "./html.js";

/** @param {{title: string, onClose: () => void, role?: string, children: any}} props */
export function Dialog({ title, onClose, children, ...more }) {
  const element = useRef(null);
  const id = useId();

  useEffect(() => {
    const dialog = element.current;
    const before = document.activeElement;
    dialog.showModal();
    return () => {
      dialog.close();
      before?.focus?.();
    };
  }, []);

  /** The veil around it counts as the dialog; what is pressed at its own edge is not beside it. */
  function onMouseDown({ target, clientX, clientY }) {
    const { left, right, top, bottom } = element.current.getBoundingClientRect();
    const inside = clientX >= left && clientX <= right && clientY >= top && clientY <= bottom;
    if (target === element.current && !inside) onClose();
  }

  return html`
    <dialog ref=${element} aria-labelledby=${id} onCancel=${onClose} onMouseDown=${onMouseDown} ...${more}>
      <h2 id=${id}>${title}</h2>
      ${children}
    </dialog>
  `;
}
