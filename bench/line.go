package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// line is one comparison.
type line struct {
	Name    string    `json:"name"`
	What    string    `json:"what"`
	Unit    string    `json:"unit"`
	Left    string    `json:"left"` // whose figures Ours are; "" is Kalpana
	Peer    string    `json:"peer"`
	Ours    []float64 `json:"ours"`
	Theirs  []float64 `json:"theirs"`  // none where the bar is a Limit
	Bar     float64   `json:"bar"`     // of ours to theirs; 0 is none
	More    float64   `json:"more"`    // by so much ours may be more in any case, in Unit
	Limit   float64   `json:"limit"`   // of ours alone, in Unit
	AtLeast bool      `json:"atLeast"` // else at most
}

func (l line) ratio() float64 {
	switch {
	case len(l.Theirs) > 0:
	case l.Limit > 0:
		return median(l.Ours) / l.Limit
	default:
		return 0 // there is nothing to compare with; JSON has no NaN
	}
	return median(l.Ours) / median(l.Theirs)
}

func (l line) holds() bool {
	switch {
	case l.Limit > 0:
		return median(l.Ours) <= l.Limit
	case l.Bar == 0:
		return true
	case l.AtLeast:
		return l.ratio() >= l.Bar
	}
	return l.ratio() <= l.Bar || median(l.Ours)-median(l.Theirs) <= l.More
}

// print shows medians, and in parentheses the lowest and highest figure.
func (l line) print(w io.Writer) {
	left := l.Left
	if left == "" {
		left = "Kalpana"
	}
	sign, verdict := "≤", "holds"
	if l.AtLeast {
		sign = "≥"
	}
	if !l.holds() {
		verdict = "MISSED"
	}
	fmt.Fprintf(w, "\n%s: %s\n", l.Name, strings.ReplaceAll(l.What, "\n", "\n    "))
	if l.Limit > 0 {
		fmt.Fprintf(w, "    %s %s %s   bar ≤ %g   %s\n", left, figures(l.Ours), l.Unit, l.Limit, verdict)
		return
	}
	if len(l.Theirs) == 0 {
		fmt.Fprintf(w, "    %s %s %s   for information\n", left, figures(l.Ours), l.Unit)
		return
	}
	bar := fmt.Sprintf("bar %s %.2f   %s", sign, l.Bar, verdict)
	switch {
	case l.Bar == 0:
		bar = "for information"
	case l.More > 0:
		bar = fmt.Sprintf("bar %s %.2f, or %g %s more   %s", sign, l.Bar, l.More, l.Unit, verdict)
	}
	fmt.Fprintf(w, "    %s %s, %s %s %s   ratio %.3f   %s\n",
		left, figures(l.Ours), l.Peer, figures(l.Theirs), l.Unit, l.ratio(), bar)
}

func figures(all []float64) string {
	digits := 0
	if median(all) < 1000 {
		digits = 1
	}
	return fmt.Sprintf("%.*f (%.*f–%.*f)", digits, median(all), digits, slices.Min(all), digits, slices.Max(all))
}

func median(all []float64) float64 {
	sorted := slices.Sorted(slices.Values(all))
	n := len(sorted)
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}

func saveResults(machine string, lines []line) error {
	type result struct {
		line
		Ratio float64 `json:"ratio"`
		Holds bool    `json:"holds"`
	}
	var results []result
	for _, l := range lines {
		results = append(results, result{l, l.ratio(), l.holds()})
	}
	raw, err := json.MarshalIndent(map[string]any{
		"at": time.Now().UTC().Format(time.RFC3339), "machine": strings.Split(machine, "\n"), "lines": results,
	}, "", "  ")
	if err != nil {
		return err
	}
	path := filepath.Join("bench", "results", "latest.json")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(raw, '\n'), 0o644)
}
