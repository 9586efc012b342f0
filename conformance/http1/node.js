// The same application as application.py, on Node's http module: node node.js PORT
const fs = require("node:fs");
const http = require("node:http");

const asked = new Map();

http
  .createServer((request, response) => {
    const pieces = [];
    request.on("data", (piece) => pieces.push(piece));
    request.on("end", () => {
      const target = request.url;
      asked.set(target, (asked.get(target) || 0) + 1);
      const fields = [];
      for (let i = 0; i < request.rawHeaders.length; i += 2) {
        fields.push([request.rawHeaders[i].toLowerCase(), request.rawHeaders[i + 1]]);
      }
      const given = {
        method: request.method,
        target,
        version: request.httpVersion,
        fields,
        body: Buffer.concat(pieces).toString("latin1"),
      };
      fs.appendFileSync(process.env.CONFORMANCE_SEEN, JSON.stringify(given) + "\n");
      response.setHeader("x-app", "1");
      response.setHeader("x-target", target.slice(0, 200).replace(/[^ -~]/g, "?"));
      if (!target.startsWith("/answer")) {
        response.setHeader("content-type", "application/json");
        return response.end(JSON.stringify(given));
      }
      const ask = new URLSearchParams(target.split("?").slice(1).join("?"));
      for (const field of ask.getAll("f")) {
        const at = field.indexOf(":");
        response.setHeader(field.slice(0, at), field.slice(at + 1));
      }
      response.statusCode = Number(ask.get("status") || 200);
      const content = ask.has("body") ? ask.get("body") : `n=${asked.get(target)}`;
      for (let n = Number(ask.get("pieces") || 0); n > 0; n--) response.write(content);
      if (ask.get("pieces") || [204, 304].includes(response.statusCode)) return response.end();
      return response.end(content);
    });
  })
  .listen(Number(process.argv[2]), "127.0.0.1");
