/** Markup in templates: `html` gives what preact renders. All values are text, never markup. */

import htm from "htm";
import { h } from "preact";

export const html = htm.bind(h);
