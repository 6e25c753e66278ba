-- Sources are told apart by the workspace that scans them, too.
ALTER TABLE origins ADD COLUMN workspace TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE origins DROP CONSTRAINT origins_pkey;
ALTER TABLE origins ADD PRIMARY KEY (source, workspace, path);

ALTER TABLE seen_files ADD COLUMN workspace TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE seen_files DROP CONSTRAINT seen_files_pkey;
ALTER TABLE seen_files ADD PRIMARY KEY (source, workspace, path);

ALTER TABLE folders ADD COLUMN workspace TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE folders DROP CONSTRAINT folders_pkey;
ALTER TABLE folders ADD PRIMARY KEY (source, workspace, path);

ALTER TABLE scans ADD COLUMN workspace TEXT COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE scans DROP CONSTRAINT scans_pkey;
ALTER TABLE scans ADD PRIMARY KEY (source, workspace);
