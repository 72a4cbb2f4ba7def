// The page of one request.

import { show } from "./answer.js";

show(document);
document.addEventListener("requestchange", () => show(document));
