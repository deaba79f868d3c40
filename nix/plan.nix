# From a plan to derivations: without nixpkgs, without import from derivation, without anything impure.
#
# This is the second of two independent generators; the first is src/stages/derivation.rs, inside the driver. Both must
# give the same .drv paths, and every run of recrate asserts it. The plan's format is docs/plan.schema.json.
#
#   nix-build nix/plan.nix -A report --argstr planFile "$PWD/plan.json" --arg lockFile ./Cargo.lock
{
  planFile ? null,
  plan ? builtins.fromJSON (builtins.readFile planFile),
  # The Cargo.lock that the plan must cover: one that has changed since fails the evaluation.
  lockFile ? null,
  # What the project requires and accepts: its recrate.toml, or what is in it. A plan has no say in that.
  policy ? null,
  # A built-in policy that counts in place of the required one: strict, default or contents-only.
  accept ? null,
  # The day, as 2026-11-22 or like a flake's lastModifiedDate: without it no waiver and no rule counts that expires.
  date ? null,
  # Repositories that have another address today, besides those that recrate and recrate.toml know: a list of { from, to }.
  renamedRepositories ? [ ],
  # recrate's own programs, { builder, fetcher, judge }, to take in place of the ones that the plan pins. What is
  # rebuilt is the same; the derivations are others than recrate's own.
  programs ? null,
  # A folder whose lib/ has the loader and the C library for official cargos, in place of the one that the plan pins.
  runtime ? null,
  # Where things are, if not where the plan says. No output depends on them.
  # Published crates: the address of a folder of NAME-VERSION.crate files.
  crates ? null,
  # Repositories: rules PREFIX=REPLACEMENT, white space between them. Else Nix's own RECRATE_GIT_MIRRORS counts.
  gitMirrors ? null,
  # The default registry's index: its address, or a folder. Else Nix's own RECRATE_REGISTRY counts.
  registry ? null,
}:

assert
  plan.schema == 3
  || throw "recrate: this plan has schema ${toString plan.schema}, this nix/ reads schema 3";

let
  inherit (plan) system;

  # An input whose content the plan pins, named `name`. Nix takes it from the store, or else runs its builder.
  fixed =
    {
      name,
      hash,
      recursive ? true,
      ...
    }@args:
    derivation (
      removeAttrs args [
        "hash"
        "recursive"
      ]
      // {
        outputHash = hash;
        outputHashAlgo = "sha256";
        outputHashMode = if recursive then "recursive" else "flat";
      }
    );

  # One of recrate's own programs: nothing but Nix itself could fetch it.
  program =
    name: hash:
    fixed {
      inherit name hash;
      system = "builtin";
      builder = "builtin:fetchurl";
      url = "";
      executable = true;
    };

  inherit
    (
      if programs != null then
        programs
      else
        {
          builder = program "recrate-builder" plan.builder.narHash;
          fetcher = program "recrate-fetcher" plan.fetcher.narHash;
          judge = program "recrate-judge" plan.judge.narHash;
        }
    )
    builder
    fetcher
    judge
    ;

  # What the fetcher is told of this machine: by the caller, or else by variables that Nix passes on.
  places =
    (if gitMirrors == null then { } else { RECRATE_GIT_MIRRORS = gitMirrors; })
    // (if registry == null then { } else { RECRATE_REGISTRY = registry; });

  # An input that recrate's fetcher fetches where the store lacks it.
  fetched =
    name: hash: verb: asks:
    fixed (
      asks
      // places
      // {
        inherit name hash system;
        builder = "${fetcher}";
        args = [ verb ];
        impureEnvVars = builtins.filter (variable: !places ? ${variable}) [
          "RECRATE_GIT_MIRRORS"
          "RECRATE_REGISTRY"
          "http_proxy"
          "https_proxy"
          "all_proxy"
          "no_proxy"
          "NIX_SSL_CERT_FILE"
        ];
      }
    );

  # An input that recrate puts into the store; where it is missing, the builder says so.
  seeded =
    name: hash:
    fixed {
      inherit name hash system;
      builder = "${builder}";
      args = [ "missing" ];
    };

  toolchains = builtins.mapAttrs (
    _: toolchain:
    let
      name = "cargo-${toolchain.release}";
      inherit (toolchain) origin;
    in
    if origin.kind == "imported" then
      seeded name origin.narHash
    else
      derivation {
        inherit name system;
        builder = "${builder}";
        args = [ "unpack-toolchain" ];
        archive = fixed {
          name = "${name}.tar.xz";
          hash = origin.sha256;
          recursive = false;
          system = "builtin";
          builder = "builtin:fetchurl";
          inherit (origin) url;
        };
        runtime = if runtime == null then seeded "cargo-runtime" origin.runtime else runtime;
        cargoRelease = toolchain.release;
      }
  ) plan.toolchains;

  # Commits: the file of all trees of each, and its sources by folder.
  commits = builtins.mapAttrs (
    commitId:
    { repository, trees, sources, ... }:
    {
      trees = fetched "trees" trees "trees" {
        recursive = false;
        inherit commitId repository;
      };
      sources = builtins.mapAttrs (
        folder: hash: fetched "source" hash "source" { inherit commitId folder repository; }
      ) sources;
    }
  ) plan.commits;

  objects = builtins.mapAttrs (
    hash: object:
    fetched "lfs-object" hash "lfs-object" {
      recursive = false;
      inherit (object) repository;
      size = toString object.size;
    }
  ) plan.lfsObjects;

  indexes = builtins.mapAttrs (
    _: pin:
    fetched "index-slice" pin.narHash "index" {
      slice = builtins.toJSON pin;
      passAsFile = [ "slice" ];
    }
  ) plan.indexes;

  lookup =
    what: set: key:
    set.${key} or (throw "recrate: the plan names the ${what} ${key}, which it does not hold");

  # A source of a commit, with what proves it.
  proven =
    folder: id:
    let
      commit = lookup "commit" commits id;
    in
    {
      inherit folder id;
      inherit (plan.commits.${id}) object;
      source = "${lookup "source of ${id} for" commit.sources folder}";
      trees = "${commit.trees}";
    };

  # What is not packaged is whole.
  whole = proven "";

  # What the builder reads: src/contract/recipe.rs.
  recipeOf =
    { name, build, ... }:
    let
      inherit (build.rebuild) recipe;
    in
    {
      inherit (recipe)
        allowDirty
        checkout
        excludeLockfile
        outsideGit
        packagePath
        prune
        publishedLockfile
        ;
      cargo = "${lookup "toolchain" toolchains recipe.toolchain}";
      cargoRelease = plan.toolchains.${recipe.toolchain}.release;
      commit = proven recipe.sourceFolder recipe.commit;
      gitDependencies = map (
        dependency: dependency // { commit = whole dependency.commit; }
      ) recipe.gitDependencies;
      index = "${lookup "index slice" indexes recipe.index}";
      lfs = builtins.mapAttrs (_: hash: "${lookup "LFS object" objects hash}") recipe.lfs;
      packageName = name;
      submodules = builtins.mapAttrs (_: whole) recipe.submodules;
    };

  rebuild =
    package:
    derivation {
      name = "rebuild-${package.name}-${package.version}";
      inherit system;
      builder = "${builder}";
      args = [ "package" ];
      recipe = builtins.toJSON (recipeOf package);
      passAsFile = [ "recipe" ];
    };

  # A published crate, under the name that nixpkgs gives it: whoever builds with `importCargoLock` has it already.
  published =
    { name, version, build, ... }:
    let
      inherit (build.rebuild) checksum url;
      input = {
        name = "crate-${name}-${version}.tar.gz";
        hash = checksum;
        recursive = false;
      };
      address = if crates != null then "${crates}/${name}-${version}.crate" else url;
    in
    if address == null then
      fixed (
        input
        // {
          inherit system;
          builder = "${builder}";
          args = [ "missing" ];
        }
      )
    else
      fixed (
        input
        // {
          system = "builtin";
          builder = "builtin:fetchurl";
          url = address;
        }
      );

  settings =
    let
      read =
        if policy == null then
          { }
        else if builtins.isAttrs policy then
          policy
        else
          builtins.fromTOML policyText;
      unknown = builtins.attrNames (
        removeAttrs read [
          "git-mirror"
          "policy"
          "renamed-repository"
          "rule"
          "software-heritage"
          "toolchains"
          "waiver"
        ]
      );
    in
    # What is misspelt would count for nothing. Some versions of Nix end a string at a NUL.
    if unknown != [ ] then
      throw "recrate: recrate.toml has an unknown table ${builtins.head unknown}"
    else if
      policyText != null
      && builtins.replaceStrings [ "\\u0000" "\\U00000000" "\\x00" ] [ "" "" "" ] policyText != policyText
    then
      throw "recrate: recrate.toml has a NUL"
    else
      read;

  # The file as it is; none where what is in it was given.
  policyText =
    if policy == null || builtins.isAttrs policy then null else builtins.readFile policy;

  renamed = renamedRepositories ++ (settings.renamed-repository or [ ]);

  projectPolicy = {
    policy = if accept == null then settings.policy or { } else { require = accept; };
    rule = settings.rule or [ ];
    waiver = settings.waiver or [ ];
  };

  # What of it a package's verdict can depend on: nothing else builds it again. The judge looks at it once more.
  projectPolicyOf =
    package:
    let
      repository = package.build.rebuild.claims.repository or "";
      isBelow = owner: builtins.substring 0 (builtins.stringLength owner + 1) repository == "${owner}/";
    in
    projectPolicy
    // {
      # Rules are for what is the same bit for bit.
      rule = builtins.filter (
        rule: rule.repository or "" == repository && repository != "" || rule ? owner && isBelow rule.owner
      ) projectPolicy.rule;
      waiver = waivers."${package.name}@${package.version}" or [ ];
    };

  waivers = builtins.groupBy (waiver: waiver.crate) projectPolicy.waiver;

  # The day, where something depends on it.
  day =
    { rule, waiver, ... }:
    let
      digits = builtins.match "([0-9]{4})-?([0-9]{2})-?([0-9]{2})([0-9]{6})?" date;
      given =
        if date == null then
          ""
        else if digits == null then
          throw "recrate: ${date} is no date"
        else
          builtins.concatStringsSep "-" (builtins.genList (builtins.elemAt digits) 3);
    in
    if builtins.any (one: one ? expires) (rule ++ waiver) then given else "";

  # A derivation that runs the judge.
  judged =
    name: verb: description: asks:
    derivation (
      asks
      // {
        inherit name system;
        builder = "${judge}";
        args = [ verb ];
      }
    )
    // {
      meta = {
        inherit description;
        # Hydra's: seconds that the build may take, and be silent.
        timeout = 600;
        maxSilent = 600;
      };
    };

  verdict =
    job: package:
    let
      named =
        verb: description: asks:
        judged "verdict-${package.name}-${package.version}" verb description (
          asks
          // {
            projectPolicy = builtins.toJSON own;
            date = day own;
            passAsFile = asks.passAsFile ++ [ "projectPolicy" ];
          }
        );
      own = projectPolicyOf package;
      inherit (package.build.rebuild) recipe;
    in
    if package.build ? rebuild then
      named "verdict" "whether ${package.name} ${package.version} is what its commit gives" {
        case = builtins.toJSON {
          inherit package;
          toolchain = plan.toolchains.${recipe.toolchain};
          drv = builtins.unsafeDiscardStringContext rebuilds.${job}.drvPath;
          out = builtins.unsafeDiscardStringContext rebuilds.${job}.outPath;
          inherit renamed;
        };
        passAsFile = [ "case" ];
        index = lookup "index slice" indexes recipe.index;
        published = published package;
        rebuilt = rebuilds.${job};
      }
    else
      named "obstacle" "why ${package.name} ${package.version} can't be rebuilt" {
        package = builtins.toJSON package;
        passAsFile = [ "package" ];
      };

  gate =
    _: verdict:
    judged "gate-${verdict.name}" "gate" "fails unless the policy accepts the package" { inherit verdict; };

  # What recrate can't look at is no reason to accept a lock file: each is a gate that fails.
  unsupportedGates = builtins.listToAttrs (
    builtins.genList (
      number:
      let
        inherit (builtins.elemAt unsupported number) name version;
      in
      {
        name = "unsupported-${toString number}";
        value = judged "gate-unsupported" "unsupported" "fails: a package can't be looked at" {
          package = "${name} ${version}";
        };
      }
    ) (builtins.length unsupported)
  );
  unsupported = builtins.filter (skipped: skipped.kind ? unsupported) plan.skipped;

  # Which section would be for them can't be told.
  passesUndetermined =
    let
      inherit (projectPolicy) policy;
    in
    policy.undetermined or "reject" == "warn"
    && builtins.all (section: section.undetermined or "warn" == "warn") (policy.for or [ ]);

  # Fails where recrate itself would not read the file: Nix has its own way with TOML.
  readablePolicy = judged "recrate-toml" "policy" "fails where recrate.toml can't be read" {
    file = builtins.toFile "recrate.toml" policyText;
  };

  # What nix-eval-jobs and its kin walk into.
  walked = jobs: jobs // { recurseForDerivations = true; };

  # What a package is called in attributes and jobs; src/model/package.rs computes the same.
  job =
    package:
    let
      name = builtins.replaceStrings [ "_" ] [ "__" ] package.name;
      version = builtins.replaceStrings [ "." "+" ] [ "_" "__" ] package.version;
      address = builtins.replaceStrings (map (one: one.char) punctuation) (
        map (one: "_${one.hex}") punctuation
      ) package.registry;
    in
    if package.registry == "default" then "${name}-${version}" else "_${address}-${name}-${version}";

  # Printable ASCII that is no letter and no digit, with its code.
  punctuation =
    builtins.concatMap
      (
        row:
        builtins.genList (at: {
          char = builtins.substring at 1 row.chars;
          hex = "${row.high}${builtins.substring (row.low + at) 1 "0123456789abcdef"}";
        }) (builtins.stringLength row.chars)
      )
      [
        {
          chars = "!\"#$%&'()*+,-./";
          high = "2";
          low = 1;
        }
        {
          chars = ":;<=>?";
          high = "3";
          low = 10;
        }
        {
          chars = "@";
          high = "4";
          low = 0;
        }
        {
          chars = "[\\]^_";
          high = "5";
          low = 11;
        }
        {
          chars = "`";
          high = "6";
          low = 0;
        }
        {
          chars = "{|}~";
          high = "7";
          low = 11;
        }
      ];

  # The package list of a lock file, a line for each; src/stages/coverage.rs computes the same.
  line =
    {
      name,
      version,
      source,
      checksum,
    }:
    let
      orNone = text: if text == null then "-" else text;
    in
    "${name} ${version} ${orNone source} ${orNone checksum}";

  sorted = lines: builtins.attrNames (builtins.listToAttrs (map (name: { inherit name; value = null; }) lines));

  digest =
    lines: builtins.hashString "sha256" (builtins.concatStringsSep "" (map (one: "${one}\n") lines));

  # How a lock file names a registry.
  sourceOf =
    registry:
    if registry == "default" then
      "registry+https://github.com/rust-lang/crates.io-index"
    else if builtins.substring 0 7 registry == "sparse+" then
      registry
    else
      "registry+${registry}";

  planned = sorted (
    map (
      package:
      line {
        inherit (package) name version;
        source = sourceOf package.registry;
        checksum = package.lockedChecksum;
      }
    ) (builtins.attrValues plan.packages)
    ++ map (
      skipped:
      line {
        inherit (skipped)
          name
          version
          source
          checksum
          ;
      }
    ) plan.skipped
  );

  locked =
    let
      lock = builtins.fromTOML (builtins.readFile lockFile);
      metadata = lock.metadata or { };
      known = checksum: if checksum == "<none>" then null else checksum;
    in
    sorted (
      map (
        package:
        line {
          inherit (package) name version;
          source = package.source or null;
          checksum =
            package.checksum
              or (known (metadata."checksum ${package.name} ${package.version} (${package.source or ""})" or "<none>"));
        }
      ) (lock.package or [ ])
    );

  without =
    lines: others:
    let
      known = builtins.listToAttrs (map (name: { inherit name; value = null; }) others);
    in
    builtins.filter (one: !known ? ${one}) lines;

  # A plan that contradicts itself, or is not about the lock file, gives nothing.
  checked =
    value:
    let
      misnamed = builtins.filter (name: name != job plan.packages.${name}) (
        builtins.attrNames plan.packages
      );
      other = builtins.filter (
        package:
        package.build ? rebuild
        && (
          package.build.rebuild.checksum != package.checksum
          || package.lockedChecksum != null && package.lockedChecksum != package.checksum
        )
      ) (builtins.attrValues plan.packages);
      # Which versions a slice leaves out would decide what cargo locks.
      unlabelled = builtins.filter (
        package:
        package.build ? rebuild
        && package.build.rebuild.recipe.indexMode != "published-lock"
        && (plan.indexes.${package.build.rebuild.recipe.index} or { pinned = { }; }).pinned != { }
      ) (builtins.attrValues plan.packages);
      # The kind of a skipped package follows from its source; only what is undetermined may be anything.
      hidden = builtins.filter (
        skipped:
        !(
          if skipped.kind == "path" then
            skipped.source == null
          else if skipped.kind == "git" then
            skipped.source != null && builtins.substring 0 4 skipped.source == "git+"
          else
            skipped.kind ? unsupported
        )
      ) plan.skipped;
      missing = without locked planned;
      stale = without planned locked;
    in
    if misnamed != [ ] then
      throw "recrate: this plan has ${builtins.head misnamed} under a name that is not its own"
    else if other != [ ] then
      throw "recrate: this plan has two checksums for ${(builtins.head other).name}"
    else if unlabelled != [ ] then
      throw "recrate: this plan leaves versions out of the index of ${(builtins.head unlabelled).name} without saying so"
    else if hidden != [ ] then
      throw "recrate: this plan skips ${(builtins.head hidden).name}, which has a source that may be a registry"
    else if plan.lockfile != null && plan.lockfile != digest planned then
      throw "recrate: this plan does not have the packages of the lock file that it is for"
    else if lockFile == null then
      value
    else if missing != [ ] then
      throw "recrate: the plan does not cover ${builtins.head missing}: run `recrate plan` again"
    else if stale != [ ] then
      throw "recrate: the plan has ${builtins.head stale}, which the lock file does not: run `recrate plan` again"
    else
      value;

  # One rebuild per package. None of them knows the registry's checksum.
  rebuilds = builtins.mapAttrs (
    _: package:
    rebuild package
    // {
      meta = {
        description = "cargo package of ${package.name} ${package.version}, from its commit";
        timeout = 3600;
        maxSilent = 1800;
      };
    }
  ) (checked (onlyRebuilds plan.packages));

  onlyRebuilds =
    packages:
    removeAttrs packages (
      builtins.filter (name: !(packages.${name}.build ? rebuild)) (builtins.attrNames packages)
    );

  # One verdict per package of the lock file. Each succeeds, whatever it is.
  verdicts = builtins.mapAttrs verdict (checked plan.packages);
in
{
  rebuilds = walked rebuilds;
  verdicts = walked verdicts;

  # One per verdict, that fails where the policy does not accept the package: for `nix flake check`.
  gates = walked (
    (if passesUndetermined then { } else unsupportedGates)
    // (if policyText == null then { } else { recrate-toml = readablePolicy; })
    // builtins.mapAttrs gate verdicts
  );

  # One over all. To Hydra it is an aggregate, too, and red where a verdict is.
  report = judged "report" "report" "whether these crates are what their commits give" {
    _hydraAggregate = true;
    projectPolicy = builtins.toJSON projectPolicy;
    date = day projectPolicy;
    readablePolicy = if policyText == null then "" else readablePolicy;
    constituents = builtins.attrValues verdicts;
    lockfile = if lockFile == null then "" else "compared";
    skipped = builtins.toJSON plan.skipped;
    toolchains = builtins.toJSON plan.toolchains;
    passAsFile = [
      "constituents"
      "skipped"
      "projectPolicy"
      "toolchains"
    ];
  };

  # The .drv paths of rebuilds, by job name: what the driver compares with its own; and those of verdicts.
  drvPaths = builtins.mapAttrs (_: drv: drv.drvPath) rebuilds;
  verdictDrvPaths = builtins.mapAttrs (_: drv: drv.drvPath) verdicts;
}
