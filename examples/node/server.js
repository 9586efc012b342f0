// A live poll in plain Node, with nothing but node:http: what a response depends on, and what a request has changed,
// are response fields (RFC 9875). Behind `freshwire proxy`, every GET here can be watched.
import { createServer } from "node:http";

const polls = { lunch: { soup: 0, salad: 0 } };
const voters = new Map(); // user: what they voted for

const page = `<!doctype html><title>Lunch</title><h1>Lunch</h1><p id="votes"></p>
<button>soup</button> <button>salad</button>
<script>
  new EventSource("/polls/lunch").onmessage = (event) => {
    document.getElementById("votes").textContent = event.data;
  };
  for (const button of document.querySelectorAll("button"))
    button.onclick = () => fetch("/polls/lunch/votes", { method: "POST", body: button.textContent });
</script>`;

function answer(response, status, body, fields = {}) {
  const json = typeof body === "string" ? body : JSON.stringify(body);
  const type = typeof body === "string" ? "text/html; charset=utf-8" : "application/json";
  response.writeHead(status, { "Content-Type": type, ...fields }).end(json);
}

async function handle(request, response) {
  const [, kind, name, rest] = request.url.split("/");
  const poll = kind === "polls" && Object.hasOwn(polls, name) ? polls[name] : undefined;
  const user = request.headers.authorization?.replace("Bearer ", "");
  if (request.url === "/") {
    answer(response, 200, page);
  } else if (request.url === "/mine") {
    // It depends on who asks, so it is nobody else's: the node keeps it apart, and reads it again as this user.
    if (!user) return answer(response, 401, { error: "who are you?" }, { "WWW-Authenticate": "Bearer" });
    answer(response, 200, voters.get(user) ?? [], { "Cache-Groups": JSON.stringify(`voter:${user}`) });
  } else if (poll && request.method === "GET" && rest === undefined) {
    answer(response, 200, poll, { "Cache-Groups": JSON.stringify(`poll:${name}`) });
  } else if (poll && request.method === "POST" && rest === "votes") {
    let choice = "";
    for await (const piece of request) choice += piece;
    if (!Object.hasOwn(poll, choice)) return answer(response, 422, { error: "not on the menu" });
    poll[choice] += 1;
    const changed = [`poll:${name}`];
    if (user) {
      voters.set(user, [...(voters.get(user) ?? []), choice]);
      changed.push(`voter:${user}`);
    }
    // What has changed: the node's copies, and everybody who watches one, follow before this answer arrives.
    answer(response, 201, poll, { "Cache-Group-Invalidation": changed.map((tag) => JSON.stringify(tag)).join(", ") });
  } else {
    answer(response, 404, { error: "nothing here" });
  }
}

const port = Number(process.env.PORT ?? 3000);
const server = createServer((request, response) => handle(request, response).catch(() => response.destroy()));
server.listen(port, "127.0.0.1", () => console.log(`http://127.0.0.1:${server.address().port}`));
