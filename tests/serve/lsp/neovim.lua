-- Run inside a headless Neovim: diagnostic, repair, code action, undo. ROOT, PYTHON and REPOSITORY come by environment.
local root = os.getenv("ROOT")
local said = {}
local function say(name, value) said[#said + 1] = name .. "=" .. tostring(value) end

local client = vim.lsp.start_client({
  name = "emend",
  cmd = { os.getenv("PYTHON"), "-m", "serve.lsp", "--model", "none", "--python", os.getenv("PYTHON") },
  cmd_env = { PYTHONPATH = os.getenv("REPOSITORY") },
  root_dir = root,
})
vim.cmd("edit " .. root .. "/ranges.py")
local buffer = vim.api.nvim_get_current_buf()
vim.lsp.buf_attach_client(buffer, client)
local lsp = vim.lsp.get_client_by_id(client)
vim.wait(10000, function() return lsp.initialized end, 20)
local uri = vim.uri_from_bufnr(buffer)
local function request(method, params)
  local answer = lsp.request_sync(method, params, 60000, buffer)
  return answer and answer.result, answer and answer.err
end

request("workspace/executeCommand", { command = "emend.runTests", arguments = { uri } })
vim.wait(5000, function() return #vim.diagnostic.get(buffer) > 0 end, 20)
local line
for _, diagnostic in ipairs(vim.diagnostic.get(buffer)) do
  if diagnostic.lnum == 3 then line = diagnostic.lnum end
end
say("line", line)
request("workspace/executeCommand", { command = "emend.repair", arguments = { uri, line } })
local at = { line = line or 0, character = 0 }
local actions = request("textDocument/codeAction", {
  textDocument = { uri = uri }, range = { start = at, ["end"] = at }, context = { diagnostics = {} },
})
local best
for _, action in ipairs(actions or {}) do
  if action.isPreferred then best = action end
end
say("title", best and best.title)
if best and not best.edit then best = request("codeAction/resolve", best) end
vim.lsp.util.apply_workspace_edit(best.edit, lsp.offset_encoding)
say("after", vim.api.nvim_buf_get_lines(buffer, 3, 4, false)[1])
vim.cmd("write")
vim.cmd("undo")
say("undone", vim.api.nvim_buf_get_lines(buffer, 3, 4, false)[1])
vim.fn.writefile(said, root .. "/said.txt")
vim.lsp.stop_client(client)
vim.wait(5000, function() return lsp.is_stopped() end, 20)
vim.cmd("qall!")
