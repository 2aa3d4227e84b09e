// Command kalpana-build builds Kalpana with the plugins that an xcaddy.toml names.
//
//	kalpana-build [--config xcaddy.toml] [--output kalpana] [--print] [--verbose]
//
// It is xcaddy's library behind a file: the file pins what an xcaddy command line would have to repeat,
// and is checked, line by line, before anything is downloaded.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	if isGoStandIn() {
		os.Exit(runGoStandIn(os.Args[1:]))
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case err == nil:
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2)
	default:
		fmt.Fprintf(os.Stderr, "kalpana-build: %v\n", err)
		os.Exit(1)
	}
}

// errUsage says that the flag package has already told the person what is wrong.
var errUsage = errors.New("usage")

// run is the command without the process: stdout gets what --print prints, stderr everything else.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("kalpana-build", flag.ContinueOnError)
	flags.SetOutput(stderr)
	configFile := flags.String("config", "xcaddy.toml", "what to build: a TOML `file`")
	output := flags.String("output", "", "the `file` to write (default kalpana, or kalpana.exe for Windows)")
	printOnly := flags.Bool("print", false, "print the equivalent xcaddy command instead of building")
	verbose := flags.Bool("verbose", false, "show everything that xcaddy and go say")
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if flags.NArg() > 0 {
		fmt.Fprintf(stderr, "unexpected argument %q\n", flags.Arg(0))
		flags.Usage()
		return errUsage
	}

	cfg, err := readConfig(*configFile)
	if err != nil {
		return err
	}
	goCmd, err := findGo()
	if err != nil {
		return err
	}
	p, err := newPlan(ctx, cfg, goCmd)
	if err != nil {
		return err
	}
	if *output == "" {
		*output = p.defaultOutput()
	}
	if *printOnly {
		_, err := io.WriteString(stdout, p.command(*output))
		return err
	}
	return p.build(ctx, *output, stderr, *verbose)
}
