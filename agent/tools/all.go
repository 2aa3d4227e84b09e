package tools

// All returns the tools for a workspace. What those that change something have changed can be undone, by
// bridge.Client's CheckpointChanges and UndoCheckpoints with Env.Chat and Env.Message.
func All() []Tool {
	return []Tool{}
}
