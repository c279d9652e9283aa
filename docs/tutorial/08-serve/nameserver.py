"""A nameserver appliance to try against: `python3 nameserver.py [PORT]`. It keeps everything in memory."""
import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

zones, records, keys = {}, {}, iter(range(7, 10**6))


class Nameserver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
        steps = self.path.split("?")[0].strip("/").split("/")[1:]
        held = zones if len(steps) < 3 else records.setdefault(steps[1], {})
        key = steps[-1]
        if self.headers.get("Authorization") != "Bearer anything":
            return 401, {"error": "who are you?"}
        if steps == ["status"]:
            return 200, {"running": True, "zones": len(zones)}
        if self.command == "POST":
            if held is zones and any(zone["domain"] == body["domain"] for zone in zones.values()):
                return 409, {"error": body["domain"] + " is here already"}
            key = str(next(keys))
            held[key] = {"key": int(key), "ttl": 3600, **body}
            return 201, held[key]
        if self.command == "GET" and key == "records":
            return 200, {"records": list(held.values())}
        if key not in held:
            return 404, {"error": "there is no " + key}
        return (204, None) if self.command == "DELETE" and held.pop(key) else (200, held[key])

    def do_GET(self):
        status, body = self.answer()
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        if data:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_DELETE = do_GET


server = ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1]) if len(sys.argv) > 1 else 9053), Nameserver)
print("listening on port", server.server_port, flush=True)
server.serve_forever()
