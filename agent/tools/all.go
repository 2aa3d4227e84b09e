package tools

// All returns the tools for a workspace. What those that change something have changed can be undone, by
// bridge.Client's CheckpointChanges and UndoCheckpoints with Env.Chat and Env.Message.
func All() []Tool {
	all := []Tool{
		readFile(), writeFile(), editFile(), listFiles(), glob(), searchCode(),
		runCommand(), commandOutput(), stopCommand(), git(),
	}
	for i := range all {
		all[i] = withCheckpoints(all[i])
	}
	return all
}
