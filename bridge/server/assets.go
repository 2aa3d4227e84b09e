package server

import (
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// assets serves the scripts, styles and the like of VS Code's page in the place of code-server, which compresses them anew for
// every browser: the workbench's script alone takes it half a second, while it has other things to
// do. The image holds them compressed, beside the originals, and VS Code need not be there yet.
type assets struct {
	prefix string // of their paths: "/<quality>-<commit>/static/"
	files  fs.FS  // VS Code's folder
}

// compressed are the forms in which the image holds them, the best first, by name of the coding.
var compressed = [...]struct{ coding, suffix string }{{"br", ".br"}, {"gzip", ".gz"}}

// assetTypes are what VS Code's server says of them.
var assetTypes = map[string]string{".js": "text/javascript", ".css": "text/css", ".html": "text/html", ".json": "application/json", ".svg": "image/svg+xml", ".ttf": "font/ttf"}

// newAssets returns nil where dir is not VS Code's folder: then all is code-server's.
func newAssets(dir string) *assets {
	var product struct{ Quality, Commit string }
	content, err := os.ReadFile(filepath.Join(dir, "product.json"))
	if err != nil || json.Unmarshal(content, &product) != nil || product.Quality == "" || product.Commit == "" {
		return nil
	}
	return &assets{prefix: "/" + product.Quality + "-" + product.Commit + "/static/", files: os.DirFS(dir)}
}

// serve answers a request for a file that is there in a form that the client takes; else it returns false.
func (a *assets) serve(w http.ResponseWriter, r *http.Request) bool {
	if a == nil || (r.Method != http.MethodGet && r.Method != http.MethodHead) {
		return false
	}
	name, ours := strings.CutPrefix(r.URL.Path, a.prefix)
	kind := assetTypes[path.Ext(name)]
	if !ours || kind == "" || !fs.ValidPath(name) {
		return false
	}
	for _, form := range compressed {
		if !httpguts.HeaderValuesContainsToken(r.Header["Accept-Encoding"], form.coding) {
			continue
		}
		f, err := a.files.Open(name + form.suffix)
		if err != nil {
			continue
		}
		defer f.Close() //nolint:errcheck // only read
		info, err := f.Stat()
		if err != nil {
			continue
		}
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Content-Length", strconv.FormatInt(info.Size(), 10))
		h.Set("Content-Encoding", form.coding)
		h.Set("Vary", "Accept-Encoding")
		h.Set("Cache-Control", "public, max-age=31536000") // as VS Code's server says: the path changes with its version
		if r.Method == http.MethodGet {
			_, _ = io.Copy(w, f) // who leaves is no fault
		}
		return true
	}
	return false
}
