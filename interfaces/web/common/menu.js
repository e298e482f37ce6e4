/** A button that opens a menu. Arrows move in it, Escape and a click elsewhere close it. */

import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { html } from "./html.js";

const STEP = { ArrowDown: 1, ArrowUp: -1 };
const MARGIN = 8;

/**
 * @typedef {{label: string, icon?: any, danger?: boolean, choose: () => void}} Item
 * @param {{label: string, items: Item[], children: any}} props `children`: what the button shows
 */
export function Menu({ label, items, children }) {
  const [open, setOpen] = useState(false);
  const button = useRef(null);
  const list = useRef(null);

  useLayoutEffect(() => {
    if (!open) return;
    list.current.showPopover();
    placeBeside(list.current, button.current);
    list.current.firstElementChild.focus();
  }, [open]);

  useEffect(() => {
    if (!open) return undefined;
    const close = () => setOpen(false);
    addEventListener("resize", close);
    return () => removeEventListener("resize", close);
  }, [open]);

  function onKeyDown(event) {
    const places = [...list.current.children];
    const at = places.indexOf(document.activeElement);
    if (event.key in STEP) places.at((at + STEP[event.key]) % places.length).focus();
    else if (event.key === "Home") places[0].focus();
    else if (event.key === "End") places.at(-1).focus();
    else if (event.key === "Escape" || event.key === "Tab") leave();
    else return;
    event.stopPropagation();
    if (event.key !== "Tab") event.preventDefault();
  }

  function leave() {
    setOpen(false);
    button.current.focus();
  }

  function choose(item) {
    leave();
    item.choose();
  }

  return html`
    <button type="button" class="quiet icon menu-button" ref=${button} aria-label=${label} title=${label}
      aria-haspopup="menu" aria-expanded=${open} onClick=${() => setOpen(!open)}>${children}</button>
    ${open && html`
      <div class="menu" role="menu" popover="auto" ref=${list} aria-label=${label} onKeyDown=${onKeyDown}
        onToggle=${(event) => event.newState === "closed" && setOpen(false)}>
        ${items.map((item) => html`
          <button type="button" role="menuitem" tabindex="-1" class=${item.danger ? "quiet grave" : "quiet"}
            onClick=${() => choose(item)}>${item.icon}${item.label}</button>
        `)}
      </div>
    `}
  `;
}

/** Below the button, or above it where there is no room; within the window on both sides. */
function placeBeside(menu, button) {
  const at = button.getBoundingClientRect();
  const { width, height } = menu.getBoundingClientRect();
  const rtl = getComputedStyle(button).direction === "rtl";
  const left = rtl ? at.left : at.right - width;
  const below = at.bottom + 4;
  const top = below + height > innerHeight - MARGIN ? at.top - height - 4 : below;
  menu.style.left = `${Math.max(MARGIN, Math.min(left, innerWidth - width - MARGIN))}px`;
  menu.style.top = `${Math.max(MARGIN, top)}px`;
}
