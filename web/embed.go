// Package web holds the console's built front end and serves it.
package web

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"
)

//go:embed all:dist
var dist embed.FS

// Dist returns the built console. It has no index.html if the console was not built before this binary.
func Dist() fs.FS {
	sub, err := fs.Sub(dist, "dist")
	if err != nil {
		panic(err) // the directory is part of the binary
	}
	return sub
}

// Handler serves the built console: its files, and index.html for every page of it.
// It answers 503 if the console was not built, and 404 to whatever is neither file nor page.
func Handler() http.Handler {
	return newHandler(Dist())
}

const notBuilt = "the console is not built into this binary; run `make web` and build again\n"

// Files under here carry a hash of their content in their names.
const assets = "/assets/"

type file struct {
	content     []byte
	contentType string
	etag        string
}

type handler struct {
	files map[string]file // by URL path
	err   error           // why they could not be read
}

func newHandler(fsys fs.FS) http.Handler {
	h := handler{files: map[string]file{}}
	h.err = fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() || strings.HasPrefix(path.Base(name), ".") {
			return nil
		}
		content, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		h.files["/"+name] = file{
			content:     content,
			contentType: contentType(name, content),
			etag:        `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`,
		}
		return nil
	})
	if _, ok := h.files["/index.html"]; !ok && h.err == nil {
		h.err = errors.New("no index.html")
	}
	return h
}

func (h handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		http.NotFound(w, r)
		return
	}
	if h.err != nil {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = w.Write([]byte(notBuilt))
		return
	}
	found, ok := h.files[r.URL.Path]
	if !ok {
		if !isPage(r) {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Vary", "Accept")
		found = h.files["/index.html"]
	}
	cacheControl := "no-cache"
	if strings.HasPrefix(r.URL.Path, assets) {
		cacheControl = "public, max-age=31536000, immutable"
	}
	w.Header().Set("Cache-Control", cacheControl)
	w.Header().Set("Content-Type", found.contentType)
	w.Header().Set("ETag", found.etag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(found.content))
}

// isPage reports whether a request without a file of its own is for a page: a browser's navigation, or
// a plain client that takes anything and names no file.
func isPage(r *http.Request) bool {
	if r.URL.Path == "/api" || strings.HasPrefix(r.URL.Path, "/api/") || strings.HasPrefix(r.URL.Path, assets) {
		return false
	}
	accept := r.Header.Get("Accept")
	if accept == "" || accept == "*/*" {
		return path.Ext(r.URL.Path) == ""
	}
	return strings.Contains(accept, "text/html")
}

// The types of what a build holds, so that they do not depend on the machine's own table.
var contentTypes = map[string]string{
	".css":   "text/css; charset=utf-8",
	".html":  "text/html; charset=utf-8",
	".js":    "text/javascript; charset=utf-8",
	".json":  "application/json",
	".svg":   "image/svg+xml",
	".woff2": "font/woff2",
}

func contentType(name string, content []byte) string {
	if known := contentTypes[path.Ext(name)]; known != "" {
		return known
	}
	if byName := mime.TypeByExtension(path.Ext(name)); byName != "" {
		return byName
	}
	return http.DetectContentType(content)
}
