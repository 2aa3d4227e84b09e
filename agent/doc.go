// Package agent is the engineer in the workspace: a chat whose model reads, edits and runs in the files of one
// workspace, through the bridge in its container.
//
// A chat belongs to a person and a workspace. What a person sends begins a run, which asks the model, carries out
// the tools that it calls, and asks again, until the model has nothing more to call. A run is the gateway's: it
// goes on when the tab that began it is closed. Everything that it shows goes through a [uistream.Log], from which
// any number of browsers read from its start.
//
// What comes from a workspace (files, output, names) and what comes from a model is data, never an order: tools
// act in their one workspace, and [approval] decides what needs a person's word.
package agent
