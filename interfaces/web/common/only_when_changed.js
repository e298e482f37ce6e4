/** A component that is rendered again only when one of its properties is another one. */

import { Component } from "preact";
import { html } from "./html.js";

/**
 * @param {Function} View
 * @param {string[]} [decisive] the properties that count; all of them if not given
 */
export function onlyWhenChanged(View, decisive) {
  return class OnlyWhenChanged extends Component {
    shouldComponentUpdate(next) {
      const names = decisive ?? Object.keys({ ...this.props, ...next });
      return names.some((name) => this.props[name] !== next[name]);
    }

    render(props) {
      return html`<${View} ...${props} />`;
    }
  };
}
