package main

import (
	"fmt"
	"os"
	"strings"
)

// xcaddy runs the program that XCADDY_WHICH_GO names as go. We name ourselves, and hand every call on to
// the real one, for the sake of a single addition: xcaddy's Builder has no way to put a requirement into
// go.mod (see plan.addRequirements for why one is needed).
const (
	envRealGo  = "KALPANA_BUILD_GO"      // the real go; set means that this process stands in for it
	envRequire = "KALPANA_BUILD_REQUIRE" // module@version, separated by spaces
)

func isGoStandIn() bool { return os.Getenv(envRealGo) != "" }

func runGoStandIn(args []string) (exitCode int) {
	goCmd := os.Getenv(envRealGo)
	if len(args) > 1 && args[0] == "mod" && args[1] == "edit" {
		for _, r := range strings.Fields(os.Getenv(envRequire)) {
			args = append(args, "-require="+r)
		}
	}
	code, err := become(goCmd, args)
	if err != nil {
		fmt.Fprintf(os.Stderr, "running %s: %v\n", goCmd, err)
		return 1
	}
	return code
}
