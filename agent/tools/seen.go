package tools

import (
	"encoding/json"
	"path"
	"strings"
	"sync"

	"github.com/kalpana-dev/kalpana/bridge"
)

// maxSeen bounds the files that are remembered; what was seen longest ago is forgotten, and must be read again.
const maxSeen = 1000

// Seen remembers files as an agent knows them, so that it does not write over what it has not read. Its zero value
// is ready, and it is for use by several goroutines. As JSON it outlives a run.
type Seen struct {
	mu       sync.Mutex
	versions map[string]seenFile
	clock    int64
}

type seenFile struct {
	Version string `json:"v"`
	At      int64  `json:"t"` // of the clock
	// CRLF: its lines end with CR LF, of which a model sees and writes the LF alone.
	CRLF bool `json:"crlf,omitempty"`
}

// put notes the version that a file has, "" for one that is to be read anew.
func (s *Seen) put(file, version string, crlf bool) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if version == "" {
		delete(s.versions, pathKey(file))
		return
	}
	if s.versions == nil {
		s.versions = make(map[string]seenFile)
	}
	s.clock++
	s.versions[pathKey(file)] = seenFile{version, s.clock, crlf}
	if len(s.versions) > maxSeen {
		oldest, at := "", s.clock
		for file, seen := range s.versions {
			if seen.At < at {
				oldest, at = file, seen.At
			}
		}
		delete(s.versions, oldest)
	}
}

// get returns what is known of a file since it was last read or written; its version is "" where nothing is.
func (s *Seen) get(file string) seenFile {
	if s == nil {
		return seenFile{}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.versions[pathKey(file)]
}

// MarshalJSON returns what is remembered.
func (s *Seen) MarshalJSON() ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return json.Marshal(s.versions)
}

// UnmarshalJSON takes what MarshalJSON returned.
func (s *Seen) UnmarshalJSON(text []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.versions, s.clock = nil, 0
	if err := json.Unmarshal(text, &s.versions); err != nil {
		return err
	}
	for _, seen := range s.versions {
		s.clock = max(s.clock, seen.At)
	}
	return nil
}

// pathKey is one name for the ways to write a path.
func pathKey(p string) string {
	p = path.Clean(p)
	if inside, ok := strings.CutPrefix(p, bridge.WorkspaceDir+"/"); ok {
		return inside
	}
	return p
}
