/** The page begins here: the token is taken out of the link, the feed is followed, and the views are drawn. */
import { render } from "preact";
import { follow, takeToken } from "./api.ts";
import { App } from "./app.tsx";
import { connection, connectionDetail, takeFrame } from "./store.ts";
import { applyTheme } from "./theme.ts";

applyTheme();
takeToken();
const root = document.getElementById("page");
if (root !== null) render(<App />, root);
void follow({
  frame: takeFrame,
  state(state, why = "") {
    connection.value = state;
    connectionDetail.value = why;
  },
});
