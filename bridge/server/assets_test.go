package server

import (
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// anEditorDir is VS Code's folder as far as assets look at it.
func anEditorDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range map[string]string{
		"product.json": `{"quality": "stable", "commit": "c0ffee"}`,
		"out/a.js":     "plain", "out/a.js.br": "brotli", "out/a.js.gz": "gzip",
		"out/b.css": "plain", "out/b.css.gz": "gzip",
		"out/c.js":   "plain",
		"d.txt":      "plain",
		"d.txt.br":   "brotli",
		"out/e.svg":  "plain",
		"out/e.json": "plain",
	} {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestAssets_AreServedCompressedInThePlaceOfVSCode(t *testing.T) {
	c := start(t, "serve", func(cfg *Config) { cfg.EditorDir = anEditorDir(t) })
	c.waitReady()
	for _, test := range []struct {
		method, path, accepts string
		coding, kind          string // "" is VS Code's
	}{
		{"GET", "/stable-c0ffee/static/out/a.js", "gzip, deflate, br, zstd", "br", "text/javascript"},
		{"GET", "/stable-c0ffee/static/out/a.js", "gzip, deflate", "gzip", "text/javascript"},
		{"HEAD", "/stable-c0ffee/static/out/a.js", "br", "br", "text/javascript"},
		{"GET", "/stable-c0ffee/static/out/a.js?x=1", "br", "br", "text/javascript"},
		{"GET", "/stable-c0ffee/static/out/b.css", "gzip, br", "gzip", "text/css"},

		{"GET", "/stable-c0ffee/static/out/b.css", "br", "", ""},
		{"GET", "/stable-c0ffee/static/out/a.js", "identity", "", ""},
		{"GET", "/stable-c0ffee/static/out/a.js", "identity, br;q=0", "", ""},
		{"POST", "/stable-c0ffee/static/out/a.js", "br", "", ""},
		{"GET", "/stable-c0ffee/static/out/c.js", "br", "", ""},
		{"GET", "/stable-c0ffee/static/d.txt", "br", "", ""},
		{"GET", "/stable-c0ffee/static/out/../out/a.js", "br", "", ""},
		{"GET", "/stable-c0ffee/static/out/%2e%2e/out/a.js", "br", "", ""},
		{"GET", "/stable-c0ffee/static//out/a.js", "br", "", ""},
		{"GET", "/stable-c0ffee/static/", "br", "", ""},
		{"GET", "/stable-0ther/static/out/a.js", "br", "", ""},
		{"GET", "/insider-c0ffee/static/out/a.js", "br", "", ""},
		{"GET", "/out/a.js", "br", "", ""},
	} {
		resp, body := get(t, test.method, "http://"+c.IDEAddr()+test.path, nil, "Accept-Encoding", test.accepts)
		h := resp.Header
		if test.coding == "" {
			if h.Get("Content-Encoding") != "" || body == "brotli" || body == "gzip" || body == "plain" {
				t.Errorf("%s %s for %q is not VS Code's: %v %q", test.method, test.path, test.accepts, h, body)
			}
			continue
		}
		want := map[string]string{"br": "brotli", "gzip": "gzip"}[test.coding]
		if resp.ContentLength != int64(len(want)) || (test.method == http.MethodGet && body != want) {
			t.Errorf("%s %s for %q: %d bytes, %q", test.method, test.path, test.accepts, resp.ContentLength, body)
		}
		if h.Get("Content-Encoding") != test.coding || h.Get("Content-Type") != test.kind || h.Get("Vary") != "Accept-Encoding" || h.Get("Cache-Control") != "public, max-age=31536000" {
			t.Errorf("%s %s for %q: %v", test.method, test.path, test.accepts, h)
		}
	}
}

func TestAssets_WaitForNobodyButAskForTheToken(t *testing.T) {
	c := start(t, "never", func(cfg *Config) { cfg.EditorDir = anEditorDir(t) })
	address := "http://" + c.IDEAddr() + "/stable-c0ffee/static/out/a.js"
	if resp, body := get(t, "GET", address, nil, "Accept-Encoding", "br"); resp.StatusCode != http.StatusOK || body != "brotli" {
		t.Errorf("before VS Code is there: %s %q", resp.Status, body)
	}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept-Encoding", "br")
	resp, err := client(t).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("without the token: %s", resp.Status)
	}
}

func TestAssets_AreVSCodesWhereItsFolderIsUnknown(t *testing.T) {
	if newAssets(t.TempDir()) != nil {
		t.Error("a folder without product.json is VS Code's")
	}
	c := start(t, "serve")
	c.waitReady()
	_, body := get(t, "GET", "http://"+c.IDEAddr()+"/stable-c0ffee/static/out/a.js", nil, "Accept-Encoding", "br")
	if decode[seen](t, body).Method != http.MethodGet {
		t.Errorf("%q", body)
	}
}
