package server

import (
	"encoding/json"
	"log"
	"math"
	"net/http"
	"strings"
	"time"

	"github.com/kalpana-dev/kalpana/bridge"
)

const (
	// localTimeout bounds how long a request on the local socket may take to come in, and its answer to go out.
	localTimeout = 10 * time.Second
	// localBody bounds the body of a request, in bytes, localFiles that of one with paths.
	localBody  = 4 << 10
	localFiles = 64 << 10
)

// localServer serves bridge.LocalSocket. Whatever runs in the container may ask: what it gains by it is bounded where
// the gateway reads it.
func (s *Server) localServer() *http.Server {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+bridge.LocalActivityPath+"{name}", func(w http.ResponseWriter, r *http.Request) {
		if !s.activities.saw(r.PathValue("name")) {
			http.Error(w, "There is no such activity: it is one of "+strings.Join(bridge.ActivityNames, ", ")+
				", and terminals are seen without being told of.", http.StatusNotFound)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("POST "+bridge.LocalFilesPath, func(w http.ResponseWriter, r *http.Request) {
		var files bridge.PersonFiles
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, localFiles)).Decode(&files)
		if err != nil || len(files.Paths) > bridge.MaxPersonFiles {
			http.Error(w, `Send {"paths": ["…"]} with at most 100 paths.`, http.StatusBadRequest)
			return
		}
		s.checkpoints.Person(files.Paths)
		w.WriteHeader(http.StatusNoContent)
	})
	mux.HandleFunc("GET "+bridge.LocalStatusPath, s.serveLocalStatus)
	mux.HandleFunc("PUT "+bridge.LocalKeepAlivePath, func(w http.ResponseWriter, r *http.Request) {
		var ask bridge.KeepAliveRequest
		err := json.NewDecoder(http.MaxBytesReader(w, r.Body, localBody)).Decode(&ask)
		if err != nil || !(ask.Seconds > 0) {
			http.Error(w, `Send {"seconds": n} with n above 0.`, http.StatusBadRequest)
			return
		}
		d := time.Duration(math.Min(ask.Seconds, bridge.MaxKeepAlive.Seconds()) * float64(time.Second))
		s.activities.keepAwake(d)
		s.log.printf("keep awake for %s, as was asked for in the workspace", d.Round(time.Second))
		s.serveLocalStatus(w, r)
	})
	mux.HandleFunc("DELETE "+bridge.LocalKeepAlivePath, func(w http.ResponseWriter, r *http.Request) {
		s.activities.keepAwake(0)
		s.serveLocalStatus(w, r)
	})
	mux.HandleFunc("GET "+bridge.LocalFolderPath, s.serveFolder)
	mux.HandleFunc("POST "+bridge.LocalFolderPath, s.serveFolder)
	mux.HandleFunc("POST "+bridge.LocalCredentialPath, s.gateways.serveCredential)
	return &http.Server{
		Handler: mux, ReadTimeout: localTimeout, WriteTimeout: localTimeout, MaxHeaderBytes: 16 << 10,
		ErrorLog: log.New(&lineWriter{emit: s.log.line}, "kalpana: ", 0),
	}
}

func (s *Server) serveLocalStatus(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, bridge.LocalStatus{
		Workspace: s.cfg.WorkspaceID, Version: s.cfg.Version, Activity: s.activities.report(),
	})
}
