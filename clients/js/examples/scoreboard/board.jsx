// The board as a React page: bundle it with `npm run example`, then open /?react=1.

import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { useFresh } from "freshwire/react";

function Score({ name }) {
  const { value, status, problem } = useFresh(`/scores/${name}`);
  if (status === "gone") return <li className="gone">{`${name} has left (${problem.status})`}</li>;
  return <li className={status}>{value ? `${name}: ${value.points}` : "..."}</li>;
}

function Board() {
  const [names, setNames] = useState(["Ada", "Grace"]);
  return (
    <>
      <h1>Scores</h1>
      <ul>
        {names.map((name) => (
          <Score key={name} name={name} />
        ))}
      </ul>
      <button onClick={() => setNames(["Linus"])}>Only Linus</button>
    </>
  );
}

createRoot(document.querySelector("#root")).render(
  <StrictMode>
    <Board />
  </StrictMode>,
);
