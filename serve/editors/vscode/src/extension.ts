// The client: starts the user's `emend lsp` and passes commands on. Everything else is the server's.
import { homedir } from "node:os";
import * as vscode from "vscode";
import { LanguageClient, type LanguageClientOptions, type ServerOptions } from "vscode-languageclient/node";
import { failureOf, hasCandidates, needsRestart, type Shown, startOf, statusOf } from "./settings";

const LANGUAGES = ["python", "javascript", "javascriptreact", "typescript", "typescriptreact", "java"];

let client: LanguageClient | undefined;
let bar: vscode.StatusBarItem;

export async function activate(context: vscode.ExtensionContext): Promise<void> {
  bar = vscode.window.createStatusBarItem(vscode.StatusBarAlignment.Right, 10);
  bar.command = "emend.client.runTests";
  show(statusOf(null));
  bar.show();
  const commands: Record<string, () => Promise<unknown>> = {
    runTests: () => ask("emend.runTests"),
    repairHere: () => atCursor(repair),
    explainClipboard: async () => ask("emend.explainError", await vscode.env.clipboard.readText(), documentUri()),
    locate: () => atCursor((uri) => ask("emend.locate", uri)),
    clear: () => ask("emend.clear"),
    restart,
  };
  for (const [name, run] of Object.entries(commands)) {
    context.subscriptions.push(vscode.commands.registerCommand(`emend.client.${name}`, run));
  }
  context.subscriptions.push(
    bar,
    vscode.workspace.onDidChangeConfiguration(async (event) => {
      if (needsRestart((section) => event.affectsConfiguration(section))) {
        await restart();
      }
    }),
  );
  await start();
}

export async function deactivate(): Promise<void> {
  await client?.dispose();
}

async function start(): Promise<void> {
  const settings = vscode.workspace.getConfiguration("emend");
  const { command, args } = startOf({ path: settings.get("path", ""), model: settings.get("model", "") }, homedir());
  const server: ServerOptions = { command, args: [...args] };
  const options: LanguageClientOptions = {
    documentSelector: LANGUAGES.map((language) => ({ scheme: "file", language })),
    synchronize: { configurationSection: "emend" },
  };
  client = new LanguageClient("emend", "Emend", server, options);
  try {
    await client.start();
  } catch (error) {
    client = undefined;
    void vscode.window.showErrorMessage(failureOf(command, error));
  }
}

async function restart(): Promise<void> {
  const old = client;
  client = undefined;
  await old?.dispose();
  await start();
}

async function ask(command: string, ...given: (string | number | undefined)[]): Promise<unknown> {
  if (client === undefined) {
    await start();
  }
  const wanted = given.filter((value) => value !== undefined);
  show({ text: "$(sync~spin) Emend", tooltip: "Working" });
  let answer: unknown = null;
  try {
    answer = await client?.sendRequest("workspace/executeCommand", { command, arguments: wanted });
  } finally {
    show(statusOf(answer));
  }
  return answer;
}

async function repair(uri: string, line: number): Promise<void> {
  if (hasCandidates(await ask("emend.repair", uri, line))) {
    await vscode.commands.executeCommand("editor.action.quickFix");
  }
}

function documentUri(): string | undefined {
  const document = vscode.window.activeTextEditor?.document;
  return document?.uri.scheme === "file" ? document.uri.toString() : undefined;
}

async function atCursor(run: (uri: string, line: number) => Promise<unknown>): Promise<void> {
  const uri = documentUri();
  const editor = vscode.window.activeTextEditor;
  if (uri === undefined || editor === undefined) {
    void vscode.window.showInformationMessage("Open a source file first.");
    return;
  }
  await run(uri, editor.selection.active.line);
}

function show({ text, tooltip }: Shown): void {
  bar.text = text;
  bar.tooltip = tooltip;
}
