package e2e

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestLeftoverBody_IsNeverTakenForARequest sends bodies that nobody reads to their end, each holding
// a request: it must not be answered.
func TestLeftoverBody_IsNeverTakenForARequest(t *testing.T) {
	t.Parallel()
	i := install(t, options+unfenced)
	b := i.signIn()
	w := b.open("leftover")
	console := fmt.Sprintf("kalpana.localhost:%d", i.Port)
	host := fmt.Sprintf("%s.ws.kalpana.localhost:%d", w.ID, i.Port)
	var all sync.WaitGroup // each waits three seconds for an answer that must not come
	defer all.Wait()
	for _, c := range []struct{ name, host, path, header string }{
		{"the API, body too large", console, "/api/workspaces", "Sec-Fetch-Site: same-origin\r\nContent-Type: application/json\r\n"},
		{"the API, from a sibling", console, "/api/workspaces", "Sec-Fetch-Site: same-site\r\nContent-Type: application/json\r\n"},
		{"the console's pages", console, "/workspaces", ""},
		{"VS Code", host, "/nothing", "Sec-Fetch-Site: same-origin\r\n"},
		{"VS Code, from a sibling", host, "/nothing", "Sec-Fetch-Site: same-site\r\n"},
		{"the gateway's own path", host, "/.kalpana/wake", "Sec-Fetch-Site: same-origin\r\n"},
	} {
		for _, size := range []int{100 << 10, 1 << 20} {
			all.Go(func() {
				conn, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", i.Port))
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				name, _, _ := strings.Cut(c.host, ":")
				hidden := fmt.Sprintf("GET /hidden HTTP/1.1\r\nHost: %s\r\n\r\n", c.host)
				body := strings.Repeat(hidden, size/len(hidden))
				go func() {
					_, _ = fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\n%sContent-Length: %d\r\n\r\n%s",
						c.path, c.host, b.Cookies(name), c.header, len(body), body)
				}()
				_ = conn.SetReadDeadline(time.Now().Add(3 * time.Second))
				answer, _ := io.ReadAll(conn)
				if n := bytes.Count(answer, []byte("HTTP/1.1 ")); n > 1 {
					t.Errorf("%s, %d bytes: %d answers to one request:\n%.1500s", c.name, size, n, answer)
				}
			})
		}
	}
}
