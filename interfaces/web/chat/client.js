/** The page's one client of the service. */

import { DabirClient } from "dabir-client";
import { takeToken } from "./address.js";
import { keepToken, keptToken, keptVisitor } from "./caller.js";

const brought = takeToken();
if (brought) keepToken(brought);

export const client = new DabirClient({ token: keptToken(), anonId: keptVisitor() });

/** What the operator tells the page: `{sign_in_url, top_up_url}`, null where there is none. */
export const settings = JSON.parse(document.getElementById("settings").textContent);
