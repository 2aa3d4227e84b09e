package caddymodule

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	caddycmd "github.com/caddyserver/caddy/v2/cmd"
	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"github.com/kalpana-dev/kalpana/workspace"
)

var workspacesCommand = caddycmd.Command{
	Name: "workspaces", Usage: "list|show|start|stop|pause|restart|rebuild|logs|delete [--json] [--address <socket>]",
	Short: "Lists the workspaces of everybody, and acts on them",
	Long: `
Asks the running gateway for workspaces, whoever owns them. What is done here is in the audit log.`,
	CobraFunc: func(cmd *cobra.Command) {
		address := cmd.PersistentFlags().String("address", adminSocket(), "The admin endpoint of the running gateway")
		asJSON := cmd.PersistentFlags().Bool("json", false, "Print JSON")
		cmd.AddCommand(listCommand(address, asJSON), showCommand(address, asJSON), logsCommand(address, asJSON), deleteCommand(address))
		for _, act := range []struct{ name, short string }{
			{"start", "Starts workspaces, and waits until they run"},
			{"stop", "Stops workspaces, and waits until they have stopped"},
			{"pause", "Pauses workspaces: they keep their memory, and go on in an instant"},
			{"restart", "Stops workspaces and starts them again"},
			{"rebuild", "Gives workspaces new containers of the current image, with their files, and starts them"},
		} {
			cmd.AddCommand(actCommand(act.name, act.short, address, asJSON))
		}
	},
}

func listCommand(address *string, asJSON *bool) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Short: "Lists workspaces, oldest first", Args: cobra.NoArgs}
	owner := cmd.Flags().String("owner", "", "Only those of a person: id, name or e-mail address")
	state := cmd.Flags().String("state", "", "Only those in a state: "+joined(workspace.States))
	limit := cmd.Flags().Int("limit", pageLength, "How many at most, up to 1000")
	after := cmd.Flags().String("after", "", "Begin after this workspace: the next page")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		query := url.Values{"limit": {strconv.Itoa(*limit)}}
		for name, value := range map[string]string{"owner": *owner, "state": *state, "after": *after} {
			if value != "" {
				query.Set(name, value)
			}
		}
		var answer workspacesAnswer
		if err := askGateway(*address, http.MethodGet, "/kalpana/workspaces?"+query.Encode(), &answer); err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), answer)
		}
		answer.print(cmd.OutOrStdout(), time.Now())
		if answer.Next != "" {
			query.Set("after", string(answer.Next))
			fmt.Fprintf(cmd.ErrOrStderr(), "There are more: kalpana workspaces list%s\n", asFlags(query))
		}
		return nil
	}
	return cmd
}

// asFlags writes parameters as flags, in an order of their own.
func asFlags(query url.Values) (flags string) {
	for _, name := range []string{"owner", "state", "limit", "after"} {
		if value := query.Get(name); value != "" {
			flags += fmt.Sprintf(" --%s %s", name, quoted(value))
		}
	}
	return flags
}

// quoted writes a word for a shell.
func quoted(word string) string {
	plain := func(r rune) bool {
		return r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || strings.ContainsRune("@.-_", r))
	}
	if strings.ContainsFunc(word, func(r rune) bool { return !plain(r) }) {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	return word
}

func showCommand(address *string, asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use: "show <id>", Short: "Shows all that is known of a workspace", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return askWorkspace(cmd, *address, http.MethodGet, args[0], "", *asJSON)
		},
	}
}

func actCommand(name, short string, address *string, asJSON *bool) *cobra.Command {
	return &cobra.Command{
		Use: name + " <id>...", Short: short, Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var faults []error
			for _, id := range args {
				if err := askWorkspace(cmd, *address, http.MethodPost, id, "/"+name, *asJSON); err != nil {
					faults = append(faults, fmt.Errorf("%s: %w", id, err))
				}
			}
			return errors.Join(faults...)
		},
	}
}

// askWorkspace asks for one workspace and prints the answer: as a whole, or after an act in one line.
func askWorkspace(cmd *cobra.Command, address, method, id, act string, asJSON bool) error {
	var answer adminWorkspace
	if err := askGateway(address, method, "/kalpana/workspaces/"+url.PathEscape(id)+act, &answer); err != nil {
		return err
	}
	switch {
	case asJSON:
		return printJSON(cmd.OutOrStdout(), answer)
	case act != "":
		fmt.Fprintf(cmd.OutOrStdout(), "%s  %s\n", answer.ID, answer.State)
	default:
		answer.print(cmd.OutOrStdout(), time.Now())
	}
	return nil
}

func logsCommand(address *string, asJSON *bool) *cobra.Command {
	cmd := &cobra.Command{Use: "logs <id>", Short: "Prints the end of what a workspace's container printed", Args: cobra.ExactArgs(1)}
	lines := cmd.Flags().Int("lines", logLines, "How many lines at most")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var answer logAnswer
		path := "/kalpana/workspaces/" + url.PathEscape(args[0]) + "/logs?lines=" + strconv.Itoa(*lines)
		if err := askGateway(*address, http.MethodGet, path, &answer); err != nil {
			return err
		}
		if *asJSON {
			return printJSON(cmd.OutOrStdout(), answer)
		}
		if answer.Log != "" {
			fmt.Fprintln(cmd.OutOrStdout(), strings.TrimSuffix(answer.Log, "\n"))
		}
		return nil
	}
	return cmd
}

func deleteCommand(address *string) *cobra.Command {
	cmd := &cobra.Command{Use: "delete <id> --yes", Short: "Deletes a workspace, its container and its files, for good", Args: cobra.ExactArgs(1)}
	sure := cmd.Flags().Bool("yes", false, "Yes, its files too")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if !*sure {
			return fmt.Errorf("this deletes the files of %s too, and cannot be undone: add --yes", args[0])
		}
		if err := askGateway(*address, http.MethodDelete, "/kalpana/workspaces/"+url.PathEscape(args[0]), nil); err != nil {
			return err
		}
		fmt.Fprintf(cmd.OutOrStdout(), "%s  deleted\n", args[0])
		return nil
	}
	return cmd
}

func jsonFlag(cmd *cobra.Command) *bool { return cmd.Flags().Bool("json", false, "Print JSON") }

func printJSON(out io.Writer, v any) error {
	encoder := json.NewEncoder(out)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}

// print writes a table.
func (a workspacesAnswer) print(out io.Writer, now time.Time) {
	if len(a.Workspaces) == 0 {
		fmt.Fprintln(out, "No workspaces.")
		return
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer table.Flush() //nolint:errcheck // whoever reads it has left
	fmt.Fprintln(table, "ID\tNAME\tOWNER\tSTATE\tSINCE\tLAST ACTIVE\tTEMPLATE")
	for _, w := range a.Workspaces {
		active := ago(w.LastActiveAt, now)
		if w.LastActivity != "" {
			active += " (" + printable(w.LastActivity) + ")"
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n",
			w.ID, printable(w.Name), printable(w.Owner.title()), w.State, ago(w.StateSince, now), active, printable(w.Template))
	}
}

func (o adminOwner) title() string {
	if o.Name != "" {
		return o.Name
	}
	return o.ID
}

// print writes what is known of a workspace, a line each.
func (w adminWorkspace) print(out io.Writer, now time.Time) {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	defer table.Flush() //nolint:errcheck // whoever reads it has left
	line := func(name, value string) {
		if value != "" {
			fmt.Fprintf(table, "%s\t%s\n", name, value)
		}
	}
	moment := func(t time.Time) string {
		if t.IsZero() {
			return ""
		}
		return t.Local().Format(time.DateTime) + " (" + ago(t, now) + ")"
	}
	line("id", string(w.ID))
	line("name", printable(w.Name))
	owner := printable(w.Owner.title()) + " (" + printable(w.Owner.ID)
	if w.Owner.Email != "" {
		owner += ", " + printable(w.Owner.Email)
	}
	line("owner", owner+")")
	line("url", w.URL)
	line("template", printable(w.Template))
	line("repository", printable(w.Repository))
	line("state", string(w.State))
	line("since", moment(w.StateSince))
	reason, log, _ := strings.Cut(w.Reason, "\n")
	line("reason", printable(reason))
	if w.Desired != "" && w.Desired != w.State {
		line("desired", string(w.Desired))
	}
	line("created", moment(w.CreatedAt))
	line("started", moment(w.StartedAt))
	active := moment(w.LastActiveAt)
	if active != "" && w.LastActivity != "" {
		active += ", " + printable(w.LastActivity)
	}
	line("last active", active)
	if w.State == workspace.StateRunning {
		line("awake by", printable(w.Awake.Reason))
	}
	if w.Awake.Next != "" {
		line("will be "+string(w.Awake.Next), moment(w.Awake.SleepsAt))
	}
	line("kept awake until", moment(w.KeepAwakeUntil))
	if s := w.Schedule; s.WakeAt != "" || s.StopAt != "" {
		line("schedule", printable(strings.Join([]string{"wake", or(s.WakeAt, "never"), "stop", or(s.StopAt, "never"), or(s.Zone, "UTC"), strings.Join(s.Days, " ")}, " ")))
	}
	line("image", printable(w.Image))
	if len(w.Container) > 12 {
		line("container", printable(w.Container[:12]))
	} else {
		line("container", printable(w.Container))
	}
	if w.IDEPort != 0 {
		line("ports", fmt.Sprintf("%s: VS Code %d, bridge %d", w.Address, w.IDEPort, w.BridgePort))
	}
	if w.DiskUsed > 0 {
		line("disk", humanize.IBytes(uint64(w.DiskUsed)))
	}
	if !w.LastStart.At.IsZero() {
		line("last start", moment(w.LastStart.At)+", from "+or(string(w.LastStart.From), "stopped"))
		for _, s := range w.LastStart.Stages {
			took := "under way"
			if s.Took > 0 {
				took = s.Took.Round(time.Millisecond).String()
			}
			fmt.Fprintf(table, "  %s\t%s\n", printable(s.Name), took)
		}
		line("failed", printable(w.LastStart.Error))
	}
	if log != "" {
		_ = table.Flush()
		fmt.Fprintln(out)
		for l := range strings.Lines(log) {
			fmt.Fprintln(out, "  "+printable(strings.TrimRight(l, "\n")))
		}
	}
}

func or(text, fallback string) string {
	if text == "" {
		return fallback
	}
	return text
}

// ago returns how long ago t is, or will be.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return humanize.RelTime(t, now, "ago", "from now")
}

// printable keeps what comes from people and containers from moving a terminal's cursor.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '·'
		}
		return r
	}, text)
}
