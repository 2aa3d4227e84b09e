package web

import (
	"io/fs"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/fstest"
)

var built = fstest.MapFS{
	".gitkeep":             {},
	"index.html":           {Data: []byte("<!doctype html>console")},
	"favicon.svg":          {Data: []byte("<svg/>")},
	"assets/index-abc.js":  {Data: []byte("go()")},
	"assets/geist-d.woff2": {Data: []byte("wOF2")},
}

func get(t *testing.T, h http.Handler, target string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const browser = "text/html,application/xhtml+xml,*/*;q=0.8"

func TestHandler_Answers(t *testing.T) {
	h := newHandler(built)
	const forever = "public, max-age=31536000, immutable"
	for _, tt := range []struct {
		path, accept string
		status       int
		contentType  string
		cache        string
	}{
		{"/", browser, 200, "text/html; charset=utf-8", "no-cache"},
		{"/", "*/*", 200, "text/html; charset=utf-8", "no-cache"},
		{"/index.html", browser, 200, "text/html; charset=utf-8", "no-cache"},
		{"/w/a234567890", browser, 200, "text/html; charset=utf-8", "no-cache"},
		{"/login/link?next=%2Fworkspaces", browser, 200, "text/html; charset=utf-8", "no-cache"},
		{"/favicon.svg", "image/*", 200, "image/svg+xml", "no-cache"},
		{"/assets/index-abc.js", "*/*", 200, "text/javascript; charset=utf-8", forever},
		{"/assets/geist-d.woff2", "*/*", 200, "font/woff2", forever},
		{"/assets/index-old.js", browser, 404, "", ""},
		{"/api", browser, 404, "", ""},
		{"/api/nothing", browser, 404, "", ""},
		{"/robots.txt", "*/*", 404, "", ""},
		{"/workspaces", "application/json", 404, "", ""},
		{"/.gitkeep", "*/*", 404, "", ""},
		{"/../embed.go", "*/*", 404, "", ""},
	} {
		t.Run(tt.path+" "+tt.accept, func(t *testing.T) {
			w := get(t, h, tt.path, "Accept", tt.accept)
			if w.Code != tt.status {
				t.Fatalf("status %d, want %d", w.Code, tt.status)
			}
			if tt.status != http.StatusOK {
				return
			}
			if got := w.Header().Get("Content-Type"); got != tt.contentType {
				t.Errorf("Content-Type %q, want %q", got, tt.contentType)
			}
			if got := w.Header().Get("Cache-Control"); got != tt.cache {
				t.Errorf("Cache-Control %q, want %q", got, tt.cache)
			}
		})
	}
}

func TestHandler_UnchangedFileIsNotSentAgain(t *testing.T) {
	h := newHandler(built)
	first := get(t, h, "/workspaces", "Accept", browser)
	etag := first.Header().Get("ETag")
	if etag == "" {
		t.Fatal("no ETag")
	}
	if w := get(t, h, "/", "Accept", browser, "If-None-Match", etag); w.Code != http.StatusNotModified || w.Body.Len() != 0 {
		t.Errorf("status %d with %d bytes, want 304 with none", w.Code, w.Body.Len())
	}
	changed := newHandler(fstest.MapFS{"index.html": {Data: []byte("another")}})
	if w := get(t, changed, "/", "Accept", browser, "If-None-Match", etag); w.Code != http.StatusOK {
		t.Errorf("status %d for a changed file, want 200", w.Code)
	}
}

func TestHandler_ReadsOnly(t *testing.T) {
	h := newHandler(built)
	head := httptest.NewRecorder()
	h.ServeHTTP(head, httptest.NewRequest(http.MethodHead, "/", nil))
	if head.Code != http.StatusOK || head.Body.Len() != 0 {
		t.Errorf("HEAD: status %d with %d bytes, want 200 with none", head.Code, head.Body.Len())
	}
	post := httptest.NewRecorder()
	h.ServeHTTP(post, httptest.NewRequest(http.MethodPost, "/", nil))
	if post.Code != http.StatusNotFound {
		t.Errorf("POST: status %d, want 404", post.Code)
	}
}

func TestHandler_SaysThatTheConsoleIsNotBuilt(t *testing.T) {
	w := get(t, newHandler(fstest.MapFS{".gitkeep": {}}), "/", "Accept", browser)
	if w.Code != http.StatusServiceUnavailable || !strings.Contains(w.Body.String(), "make web") {
		t.Errorf("status %d, body %q", w.Code, w.Body)
	}
}

func TestDist_HoldsWhatGitKeeps(t *testing.T) {
	if _, err := fs.Stat(Dist(), ".gitkeep"); err != nil {
		t.Error(err)
	}
	if Handler() == nil {
		t.Error("no handler")
	}
}
