package e2e

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestMainJob(t *testing.T) {
	t.Parallel()
	i := install(t)
	b := i.signIn()

	w := b.create(map[string]string{"name": "first", "template": "node"})
	if w.State != "stopped" || w.URL != i.workspaceURL(w.ID)+"/" {
		t.Fatalf("a new workspace: %+v", w)
	}

	// The first hit is sent to the console and back, gets the page of progress, and wakes.
	code, page := b.navigate(w.URL + "?folder=/home/dev/workspace")
	if code != http.StatusServiceUnavailable || !strings.Contains(page, "Waking your workspace") {
		t.Fatalf("first hit: %d %.400s", code, page)
	}
	if stages := b.follow(w.ID); !strings.Contains(stages, "editor") {
		t.Errorf("progress showed %s", stages)
	}
	code, page = b.navigate(w.URL)
	if code != http.StatusOK || !strings.Contains(page, "workbench") {
		t.Fatalf("VS Code: %d %.400s", code, page)
	}
	b.checkAssets(w.URL, page)

	container := containerOf(t, w.ID)
	docker(t, "exec", container, "sh", "-c", "echo kept > /home/dev/workspace/kept.txt")
	if out := docker(t, "exec", container, "ls", "/home/dev/workspace"); !strings.Contains(out, "package.json") {
		t.Errorf("the template is not there: %s", out)
	}

	if code, body := b.api("POST", "/api/workspaces/"+w.ID+"/stop", nil, nil); code != http.StatusAccepted {
		t.Fatalf("stop: %d %s", code, body)
	}
	b.await(w.ID, "stopped")

	// A forgotten tab does not wake it; a program does, and is served on the same request.
	resp := b.do(request("GET", w.URL+"static/x.js", nil, "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Dest", "script"))
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a subresource of a stopped workspace: %s", resp.Status)
	}
	if s := b.state(w.ID); s.State != "stopped" {
		t.Errorf("a subresource woke the workspace: %+v", s)
	}
	start := time.Now()
	code, page = b.get(w.URL + "?folder=/home/dev/workspace")
	if code != http.StatusOK || !strings.Contains(page, "workbench") {
		t.Fatalf("held request: %d %.400s\n%s", code, page, i.Log.Tail())
	}
	t.Logf("held first hit on a stopped workspace: %s", time.Since(start).Round(time.Millisecond))
	if out := docker(t, "exec", container, "cat", "/home/dev/workspace/kept.txt"); out != "kept" {
		t.Errorf("the file is gone: %q", out)
	}

	if code, body := b.api("DELETE", "/api/workspaces/"+w.ID, nil, nil); code != http.StatusNoContent {
		t.Fatalf("delete: %d %s", code, body)
	}
	if c := containerOf(t, w.ID); c != "" {
		t.Errorf("the container is still there: %s", c)
	}
	if v := docker(t, "volume", "ls", "-q", "--filter", "name=kalpana-"+w.ID); v != "" {
		t.Errorf("the volume is still there: %s", v)
	}
	if code, _ := b.api("GET", "/api/workspaces/"+w.ID, nil, nil); code != http.StatusNotFound {
		t.Errorf("the record is still there: %d", code)
	}
	if code, _ := b.get(w.URL); code != http.StatusUnauthorized {
		t.Errorf("the grant outlived the workspace: %d", code)
	}
}

// checkAssets checks that the scripts and styles of VS Code's page come as the image holds them compressed, and
// are what they are uncompressed.
func (b *browser) checkAssets(address, page string) {
	b.t.Helper()
	load := func(path, accepts string) (*http.Response, []byte) {
		resp := b.do(request("GET", address+path, nil, "Accept-Encoding", accepts, "Sec-Fetch-Mode", "no-cors", "Sec-Fetch-Site", "same-origin"))
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			b.t.Fatalf("%s: %s, %v", path, resp.Status, err)
		}
		return resp, body
	}
	paths := regexp.MustCompile(`(?:src|href)="([^"]+/static/out/[^"]+)"`).FindAllStringSubmatch(page, -1)
	if len(paths) < 3 { // the workbench, its style and its texts
		b.t.Errorf("VS Code's page names %q", paths)
	}
	for _, path := range paths {
		resp, small := load(path[1], "gzip, deflate, br, zstd")
		if resp.Header.Get("Content-Encoding") != "br" || resp.ContentLength != int64(len(small)) { // code-server's has no length
			b.t.Errorf("%s: %v", path[1], resp.Header)
		}
		resp, packed := load(path[1], "gzip")
		_, plain := load(path[1], "identity")
		r, err := gzip.NewReader(bytes.NewReader(packed))
		if err != nil || resp.ContentLength != int64(len(packed)) {
			b.t.Fatalf("%s: %v, %v", path[1], resp.Header, err)
		}
		if unpacked, err := io.ReadAll(r); err != nil || !bytes.Equal(unpacked, plain) {
			b.t.Errorf("%s: unpacked %d bytes, %v, of %d", path[1], len(unpacked), err, len(plain))
		}
	}
}

// follow reads the progress of a wake to its end and returns the stages that it showed.
func (b *browser) follow(id string) string {
	b.t.Helper()
	resp := b.do(request("GET", b.at.workspaceURL(id)+"/.kalpana/progress", nil, "Sec-Fetch-Mode", "cors", "Sec-Fetch-Site", "same-origin", "Sec-Fetch-Dest", "empty"))
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(resp.Body)
		b.t.Fatalf("progress: %s %s", resp.Status, text)
	}
	var seen strings.Builder
	lines := bufio.NewScanner(resp.Body)
	event := ""
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			event = name
		}
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		switch event {
		case "stage":
			seen.WriteString(data)
		case "ready":
			return seen.String()
		case "failed":
			b.t.Fatalf("the wake failed: %s\n%s", data, b.at.Log.Tail())
		}
	}
	b.t.Fatalf("progress ended early, after %s", seen.String())
	return ""
}
