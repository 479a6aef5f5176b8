# SPDX-License-Identifier: Apache-2.0
# git-http.py ROOT: serves the repositories below ROOT over HTTP by `git http-backend`, on a port of its own that it writes to port.ready. Those below ROOT/private ask for me:secret.
import base64, http.server, os, subprocess, sys

root = os.path.abspath(sys.argv[1])

class H(http.server.BaseHTTPRequestHandler):
    def log_message(self, *a): pass

    def answer(self):
        open("git-hits", "a").write(self.command + " " + self.path + "\n")
        path, _, query = self.path.partition("?")
        want = "Basic " + base64.b64encode(b"me:secret").decode()
        if path.startswith("/private/") and self.headers.get("Authorization") != want:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        env = dict(os.environ, GIT_PROJECT_ROOT=root, GIT_HTTP_EXPORT_ALL="1", REQUEST_METHOD=self.command,
                   PATH_INFO=path, QUERY_STRING=query, CONTENT_TYPE=self.headers.get("Content-Type") or "",
                   CONTENT_LENGTH=str(len(body)), REMOTE_ADDR="127.0.0.1")
        if self.headers.get("Content-Encoding"): env["HTTP_CONTENT_ENCODING"] = self.headers["Content-Encoding"]
        out = subprocess.run(["git", "http-backend"], input=body, env=env, stdout=subprocess.PIPE).stdout
        head, _, rest = out.partition(b"\r\n\r\n")
        lines = [l.split(": ", 1) for l in head.decode().split("\r\n") if l]
        status = [v for k, v in lines if k == "Status"]
        self.send_response(int(status[0].split()[0]) if status else 200)
        for k, v in lines:
            if k != "Status": self.send_header(k, v)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        self.wfile.write(rest)

    do_GET = do_POST = answer

s = http.server.ThreadingHTTPServer(("127.0.0.1", 0), H)
open("port", "w").write(str(s.server_address[1]))
os.rename("port", "port.ready")
s.serve_forever()
