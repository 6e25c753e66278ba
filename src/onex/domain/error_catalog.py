"""What every code means and what to do about it; ``onex explain`` prints it.

The codes are a contract: one is never reused for something else.
"""

from __future__ import annotations

from collections.abc import Mapping

ERROR_CATALOG: Mapping[str, str] = {
    "ONEX001": "Something failed that has no code of its own. The message says what.",
    "ONEX002": "onex itself has a defect. Set ONEX_DEBUG=1 to see where, and report it.",
    "USE001": "The command line or a call cannot be understood. See the command's --help.",
    "USE002": "A path that was named is missing or may not be read.",
    "USE003": "A command that makes files found others in their place and left them alone.",
    "USE004": "A file could not be written. What was there before is unchanged.",
    "USE006": "The operating system refused to read or write: there is no space, no right, or"
    " a file or folder is not there any more.",
    "USE005": "What a command prints could not be written. Look whether it was done before that.",
    "CFG001": "onex.toml is not valid. Known tables are [[sources]], [config] and [overrides].",
    "CFG002": "The file of secrets must be a regular file of yours that nobody else can read. Run"
    " chmod 600 on it.",
    "VER001": "A text is not a semantic version. Versions are MAJOR.MINOR.PATCH, optionally with"
    " -PRERELEASE and +BUILD, as semver.org defines them.",
    "VER002": "A text is not a version constraint. Constraints follow node-semver: ^1.2, ~1.2.3,"
    " 1.x, >=1 <2, 1.2 - 2.3, joined by spaces or commas for AND and by || for OR.",
    "REF001": "A text does not refer to a node. References are type://namespace@constraint, or a"
    " short name where exactly one node has it.",
    "PER001": "A permission has an unknown kind, or a resource that could not be enforced exactly"
    " as written. Patterns other than /path/** and *.host are refused, never widened.",
    "DOC001": "A file cannot be read, or is not a regular file.",
    "DOC002": "A document is larger than 256 KiB.",
    "DOC003": "A document is not plain UTF-8 text: it has other bytes, a NUL character or a byte"
    " order mark.",
    "DOC004": "A document is not valid YAML.",
    "DOC005": "A key stands twice in one mapping, so that one of its values would be lost.",
    "DOC006": "A document uses an anchor, an alias, a merge key or a tag. These can blow a small"
    " file up or make text mean something else, so they are refused.",
    "DOC007": "Values are nested more than 32 levels deep.",
    "DOC008": "A file holds more than one YAML document.",
    "DOC009": "A document is not a mapping of keys to values.",
    "DOC010": "A value cannot be held by JSON: a key that is not text, or a number that is not"
    " finite or beyond 64 bits.",
    "MAN000": "A document cannot be used; its problems are listed with it.",
    "MAN001": "A manifest lacks a field that every node needs: name, namespace, version,"
    " entrypoint, meta_type.",
    "MAN002": "A field holds a value of another type than it must.",
    "MAN003": "A text was written without quotes and YAML reads it as a number or a boolean:"
    ' version: 1.10 would become 1.1. Write version: "1.10".',
    "MAN004": "A field holds a value of the right type that is not allowed there.",
    "MAN005": "A node that is not a draft lacks a field that its lifecycle asks for: description,"
    " author, uuid, and inputs, outputs or state_contract; deprecated_by when deprecated;"
    " archived_reason when archived.",
    "MAN006": "A key is not part of the node schema. It is kept as it is.",
    "MAN007": "A field has an unusual form that was understood; the message says how.",
    "MAN008": "A manifest is a template that waits to be filled in. It is skipped.",
    "MAN010": "An entry of dependencies is neither a node reference nor a Python requirement.",
    "MAN011": "An entry of capabilities is a permission that cannot be enforced; see PER001.",
    "MAN014": "An input or output of a node has a schema that is not JSON Schema, or a default"
    " outside it.",
    "MAN015": "The file that an entry point names is not there.",
    "MAN013": "A contract.yaml is not one of a node, since it has no node_type. It is skipped.",
    "MAN012": "An entry point has a form that is not known, or leads out of the node's folder.",
    "WFL000": "A workflow cannot be used; its problems are listed with it.",
    "WFL001": "A workflow lacks a name, its steps, or a step's node.",
    "WFL002": "A field of a workflow holds a value of another type than it must.",
    "WFL003": "A text in a workflow was written without quotes and YAML reads it otherwise.",
    "WFL004": "A step refers to, or needs, a step that does not exist.",
    "WFL005": "A reference names an input that the workflow does not declare.",
    "WFL006": "Text between ${{ and }} is not a reference. References are inputs.NAME,"
    " steps.ID.part[0], item, run.id and run.timeline.",
    "WFL007": "item is used outside the arguments of a step with foreach.",
    "WFL008": "Steps wait for each other in a circle, so none of them could start.",
    "WFL009": "A field of a workflow is unknown or holds a value that is not allowed there.",
    "WFL010": "The inputs given to a workflow are not those it asks for.",
    "WFL012": "A condition of a step is something else than true, false or one reference, so it"
    " could never be false.",
    "WFL013": "An input of a workflow has a schema that is not JSON Schema, or a default outside"
    " of it.",
    "WFL011": "What goes into a step can never be what its node declares: an input is missing or"
    " unknown, or the result it refers to is of another type. Nothing has run.",
    "DSC001": "A folder could not be listed, or its path is too long. What was found there before"
    " is kept.",
    "DSC002": "Two places offer the same version of a node with different content. The first"
    " stays registered; the other is set aside until one of them changes.",
    "DSC003": "Several nodes carry one UUID. Only the versions of one node may share it.",
    "DSC004": "A node's files cannot be read, or are more than a node may have.",
    "DSC005": "A node's entry point is not there. The node is registered but cannot run.",
    "DSC006": "A scan found no manifest at all.",
    "DSC007": "A file or folder has a name that is not UTF-8. It is left out.",
    "DSC008": "An ignore file cannot be read, so nothing is left out because of it.",
    "DSC009": "A folder stands in the tree twice, by a mount. It is walked once.",
    "DSC010": "A source failed. The others were scanned, and what it gave before is kept.",
    "DSC011": "A source did not answer within its time limit. What it gave before is kept.",
    "DSC012": "A listing (.onextree) and its folder differ.",
    "DSC013": "An installed distribution declares a node, but no manifest stands beside its code.",
    "DSC014": "A namespace is bound to one source, and another one offers a node in it. That one"
    " is set aside.",
    "DSC015": "A link in a node's folder leads out of it, or nowhere, and is left out of the node."
    " Links that stay in the folder count as the file they lead to.",
    "DSC017": "A folder is a virtual environment, a work tree or a project of its own, so its nodes"
    " are not those of the source around it.",
    "DSC018": "A file could not be read for a reason that onex did not foresee. The others were.",
    "DSC019": "An installed distribution is broken: its metadata or its files cannot be read. The"
    " others were.",
    "DSC020": "The system cannot tell of changes of files, as it has no watches left. Folders"
    " are looked through again and again instead, which takes longer.",
    "DSC016": "A name is the namespace of one node and the short name of another. References that"
    " give it without type:// are refused, so that no newcomer takes the place of a known node.",
    "STM001": "Files of this kind carry no metadata block.",
    "STM002": "A file changed since it was stamped, or never was. Run onex stamp to renew it.",
    "RES001": "No choice of versions meets every constraint. The explanation derives this step by"
    " step from what the manifests and the request say.",
    "RES002": "Every possible choice of versions has nodes that need each other in a circle.",
    "RES003": "No node has the name that was asked for, or no version fits.",
    "RES004": "A short name belongs to several nodes. Write the one that is meant in full.",
    "RES005": "onex.lock cannot be honoured: what is needed now differs from what was locked. Run"
    " onex lock and look at the difference.",
    "CAC001": "Cached answers could not be dropped in every level: the shared cache or the file"
    " refused, or did not answer. They may be given again until they end.",
    "STO001": "A database of the registry cannot be opened, read or written. A run waits some"
    " seconds for a server that does not answer, then ends; onex run --resume goes on from there.",
    "STO002": "A database was written by a newer onex than this one.",
    "STO004": "A database has the schema of an older onex and you may not write it, so it cannot be"
    " brought up to date. Its owner must run a command that writes, such as onex scan, once.",
    "RUN001": "No run, or more than one, has the identifier that was given.",
    "RUN002": "A run cannot be resumed or replayed: it still runs, it succeeded, or it was"
    " recorded by an older onex.",
    "RUN003": "No recorded run gave the artifact or file that was named. Files count by content:"
    " one that was changed afterwards is not found.",
    "ART001": "The shared store of artifacts cannot be read or written: it does not answer, it"
    " refuses, it has no room, or its folder is not mounted. onex run --resume goes on later.",
    "EXE000": "A step could not be carried out.",
    "EXE001": "A node's code raised an exception. The traceback is kept with the step.",
    "EXE002": "A node returned something that is not JSON: another type, a key that is not text,"
    " NaN, a nesting of more than 100 levels, or a file that is not its own.",
    "EXE003": "A node did not return within its time limit, and its process was killed.",
    "EXE004": "A node's process ended before it gave a result.",
    "EXE005": "A run was cancelled. What had finished is kept in the history.",
    "EXE006": "A node's code cannot be found or imported.",
    "EXE007": "A reference points into a result that has no such part.",
    "EXE008": "The inputs or the result of a node are not what its manifest declares.",
    "EXE009": "A step did not run since a step that it needs gave no result.",
    "EXE010": "A call of a resumed run had started when the run ended early. It may have had"
    " effects, so it is made again only if its node is idempotent, or with --rerun-in-flight.",
    "EXE011": "A call was not made: calls of its node crashed, hung or could not be loaded one"
    " after another, so the node is given a rest. policy.breaker of the workflow sets how many and"
    " how long; breaker: false turns this off.",
    "EXE012": "A run did not end within policy.timeout of its workflow. What had finished is kept;"
    " onex run --resume goes on from there.",
    "EXE014": "A secret that a node declares is not set. Nothing was run.",
    "EXE013": "A node declares a Python library that is not installed, or in no version that fits."
    " Install it into the environment that onex runs in.",
    "MAN017": "An example in a manifest is not a call with what must come of it. See onex test.",
    "MAN018": "What a function says of a value cannot be written as JSON Schema, so the manifest"
    " allows any value there.",
    "MAN019": "A function and the manifest that is about it differ in inputs or outputs. See how:"
    " onex new --from path.py:function --check, and take the code's side over: --update.",
    "EXA001": "An example of a node did not come out as its manifest says. onex test shows the"
    " difference; correct the node, or the example.",
    "MAN016": "The code of a node does what its manifest asks no permission for, or what cannot be"
    " judged by reading it. This is a hint: that there is none says nothing.",
    "SEC001": "Something was refused because it cannot be trusted or confined.",
    "SEC002": "A node's files are not those that were registered. Look at the change, then run"
    " onex scan to accept it.",
    "SEC004": "A result holds a secret that the node was given. Leave it out, or mark its place in"
    " the node's outputs with writeOnly: true: then it is passed on and not recorded.",
    "SEC003": "The isolation level that was asked for cannot be had on this machine.",
    "SEC005": "A node's process could not be confined, so the node did not run. onex doctor says"
    " what the machine offers; --allow-unsandboxed NODE runs it without, which is recorded.",
    "SEC006": "A node from a source that is not trusted asks for permissions that nobody granted."
    " onex grant list shows them, onex grant approve grants them.",
    "SEC007": "A permission cannot be granted: it would open the registry's own state, a whole home"
    " folder, or a folder of the system.",
    "SEC008": "A step was to be handed a path by another step's result, and that step may not read"
    " there itself. Hand the path over as an input of the workflow, or let the step that made it"
    " declare file.read for it.",
    "SEC009": "A step sets a limit that is higher than [policy.limits] of onex.toml allows.",
    "EXE015": "A call used more memory, processor time, processes, disk or output than its limit."
    " limits of the step sets another; [limits] of onex.toml sets the default.",
    "EXE016": "A worker of a cluster lacks what a call needs: the same onex, Python or library, or"
    " a file that is handed over by its path. The message names the worker.",
    "EXE017": "A Dask cluster cannot be reached, or has no worker that can be used.",
    "LC001": "A lifecycle transition would change nothing.",
    "LC002": "An archived version never comes back.",
    "LC003": "A lifecycle transition is not among the allowed ones: draft to active or archived,"
    " active to deprecated or archived, deprecated to archived.",
    "LC004": "A version cannot be deprecated without naming what replaces it.",
    "LC005": "An active version cannot be archived without a reason.",
    "LC006": "A version was named as its own replacement.",
    "STO005": "The database ended a transaction in favour of others (a deadlock, say), each of the"
    " times that it was tried. Try again when they have ended.",
    "RUN004": "Another process took a run over, or removed it, since the one that ran it could not"
    " renew its lease in time. What it had recorded until then is kept.",
    "STO003": "A storage could not be copied: the other one is not empty, or does not say the same"
    " afterwards.",
    "REM001": "A remote registry does not answer. What is known of it is used meanwhile, and it is"
    " passed over for a minute.",
    "REM002": "What a remote answered is not what the index protocol has. It may be the page of a"
    " proxy or of a network that asks for a login, or another program's server.",
    "REM003": "No remote has the name that was given. onex remote list shows those there are.",
    "TRU001": "A signed statement about a release is none, is about another release, or is"
    " not signed by an owner of its namespace. Publish with --key FILE, a key of an owner.",
    "TRU002": "A change of the owners of a namespace does not follow from the statement"
    " before it, or is not signed by enough owners; or a registry shows other owners than it"
    " did. Nothing is taken over.",
    "TRU003": "A private key cannot be used: it is missing, is open to others, is no Ed25519"
    " key, or needs another passphrase.",
    "TRU004": "A node may not be run, since its signature is missing, wrong or revoked. onex"
    " verify shows the whole argument.",
    "TRU005": "The [policy] of onex.toml forbids a node: its level of trust, its age, its"
    " licence, or what it asks for.",
    "TRU006": "The index of a remote is not what its registry signed, is older than what was"
    " seen before, or has expired. What is known of it is kept, and nothing new is taken.",
    "TRU007": "The log of a remote is another one than that which was seen before, or lacks"
    " what it must have. Ask those who run it, and other users, which one they see.",
    "SEC010": "An archive holds something else than the plain files of its node, is larger than it"
    " may be, or is not what the index of its registry says. Nothing of it was unpacked.",
    "PUB001": "A node cannot be published as it is. Each reason is listed; nothing was stored.",
    "PUB002": "A version was published before with other files. Published versions never change:"
    " give the node a new version.",
    "PUB003": "A patch or minor release breaks those who call the node, or asks for more"
    " permissions. Publish it as a major version, or with --override REASON, which is shown with"
    " the version for ever.",
    "ACC001": "A request needs a token, or came with one that is unknown, expired or revoked. See"
    " onex login.",
    "ACC002": "The token of a request does not allow what was asked. An admin of the registry can"
    " create another one: onex token create.",
    "ACC003": "One token or address made so many requests, or had so many refused, that no more are"
    " answered for a while. The answer says when to try again.",
    "ACC004": "A request names a host that the server does not answer for, or comes from a page of"
    " another site. Start the server with --public-name and the name that its users know it by.",
    "ACC005": "A request took longer than the server gives one. Try again, or ask for less.",
    "MCP001": "No tool that is offered has this name, or several have. List the tools again; onex"
    " mcp list says what is not offered, and why.",
    "MCP002": "An agent named a file outside the folders that its user offers. Offer the folder in"
    " the client, or by onex mcp --root or roots of [mcp], if agents may hand its files to tools.",
    "MCP003": "A session used up what it may use. Begin another, or raise budget of [mcp].",
    "MCP004": "A tool is not what it was when the session was told of it. List the tools again, and"
    " look at what changed, before it is called.",
    "MCP005": "The user was asked and does not grant what a tool asks for. It is not asked again in"
    " this session; onex grant approve grants it.",
    "MCP006": "A session may read the artifacts of its own calls alone.",
    "MCP007": "Too many calls wait for their turn. Wait for some of them to end.",
    "MCP008": "The command of a server of tools is not pinned, or its files are not those that were"
    " pinned. Look at them, and write their digest into onex.toml.",
    "MCP009": "A server of tools did not list them. What it wrote is told; if it was kept from a"
    " file or a host that it needs, write permissions for its source in onex.toml.",
}
