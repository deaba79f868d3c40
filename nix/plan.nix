# From a plan to derivations: without nixpkgs, without import from derivation, without anything impure.
#
# This is the second of two independent generators; the first is src/stages/derivation.rs, inside the driver. Both must
# give the same .drv paths, and every run of recrate asserts it. The plan's format is docs/plan.schema.json.
#
#   nix-build nix/plan.nix -A report --argstr planFile "$PWD/plan.json"
{
  planFile ? null,
  plan ? builtins.fromJSON (builtins.readFile planFile),
  # The weakest verdict that is good enough.
  accept ? "archive-differs",
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

assert plan.schema == 1 || throw "recrate: this plan has schema ${toString plan.schema}, this nix/ reads schema 1";

let
  inherit (plan) system;

  # A leaf whose content the plan pins, named `name`. Nix takes it from the store, or else runs `fetch`.
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

  # A leaf that recrate's fetcher brings where the store lacks it.
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

  # A leaf that recrate puts into the store; where it is missing, the builder says so.
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

  sources = builtins.mapAttrs (
    commitId: source:
    fetched "source" source.narHash "commit" {
      inherit commitId;
      inherit (source) repository;
    }
  ) plan.sources;

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

  # A commit, with what proves it.
  proven = commitId: {
    inherit commitId;
    commit = (lookup "commit" plan.sources commitId).commitObject;
    gitlinks = builtins.concatStringsSep "" (
      builtins.attrValues (
        builtins.mapAttrs (path: id: "${id} ${path}\n") plan.sources.${commitId}.submodules
      )
    );
    source = lookup "commit" sources commitId;
  };

  rebuild =
    { name, version, recipe, ... }:
    derivation (proven recipe.source // {
      name = "rebuild-${name}-${version}";
      inherit system;
      builder = "${builder}";
      args = [ "package" ];
      inherit (recipe) allowDirty;
      cargoRelease = plan.toolchains.${recipe.toolchain}.release;
      checkout = builtins.concatStringsSep " " (
        (if recipe.checkout.crlf == "all" then [ "crlf" ] else [ ])
        ++ (if recipe.checkout.executables == "all" then [ "executables-all" ] else [ ])
        ++ (if recipe.checkout.executables == "none" then [ "executables-none" ] else [ ])
        ++ (if recipe.checkout.linksAsText then [ "links-as-text" ] else [ ])
      );
      crlfFiles = builtins.concatStringsSep "\n" (recipe.checkout.crlf.files or [ ]);
      inherit (recipe) excludeLockfile;
      gitDependencies = builtins.toJSON (
        map (
          dependency:
          dependency
          // {
            commit = proven dependency.commit;
          }
        ) recipe.gitDependencies
      );
      index = lookup "index slice" indexes recipe.index;
      leftOut = builtins.concatStringsSep "" (
        builtins.attrValues (builtins.mapAttrs (path: what: "${what} ${path}\n") recipe.leftOut)
      );
      lfs = builtins.toJSON (
        builtins.mapAttrs (_: hash: "${lookup "LFS object" objects hash}") recipe.checkout.lfs
      );
      lock = recipe.lock or "";
      lockPaths = builtins.concatStringsSep "\n" (recipe.lockPaths or [ ]);
      inherit (recipe) outsideGit;
      packageName = name;
      inherit (recipe) packagePath;
      passAsFile = [
        "commit"
        "crlfFiles"
        "gitDependencies"
        "leftOut"
        "lfs"
        "lock"
        "submodules"
      ];
      submodules = builtins.toJSON (builtins.mapAttrs (_: proven) recipe.submodules);
      toolchain = lookup "toolchain" toolchains recipe.toolchain;
    });

  # A published crate, under the name that nixpkgs gives it: whoever builds with `importCargoLock` has it already.
  published =
    {
      name,
      version,
      checksum,
      url,
      ...
    }:
    let
      leaf = {
        name = "crate-${name}-${version}.tar.gz";
        hash = checksum;
        recursive = false;
      };
      address = if crates != null then "${crates}/${name}-${version}.crate" else url;
    in
    if address == null then
      fixed (
        leaf
        // {
          inherit system;
          builder = "${builder}";
          args = [ "missing" ];
        }
      )
    else
      fixed (
        leaf
        // {
          system = "builtin";
          builder = "builtin:fetchurl";
          url = address;
        }
      );

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
    job: rebuild:
    judged "verdict-${rebuild.name}-${rebuild.version}" "verdict"
      "whether ${rebuild.name} ${rebuild.version} is what its commit gives"
      {
        inherit accept;
        case = builtins.toJSON {
          inherit rebuild;
          toolchain = plan.toolchains.${rebuild.recipe.toolchain};
          drv = builtins.unsafeDiscardStringContext rebuilds.${job}.drvPath;
          out = builtins.unsafeDiscardStringContext rebuilds.${job}.outPath;
        };
        passAsFile = [ "case" ];
        published = published rebuild;
        rebuilt = rebuilds.${job};
      };

  settled =
    _: record:
    judged "verdict-${record.name}-${record.version}" "settled"
      "why there is nothing to rebuild of ${record.name} ${record.version}"
      {
        inherit accept;
        record = builtins.toJSON record;
        passAsFile = [ "record" ];
      };

  gate =
    _: verdict:
    judged "gate-${verdict.name}" "gate" "fails unless the verdict is good enough" { inherit verdict; };

  # What nix-eval-jobs and its kin walk into.
  walked = jobs: jobs // { recurseForDerivations = true; };

  # One rebuild per crate. None of them knows the registry's checksum.
  rebuilds = builtins.mapAttrs (
    _: entry:
    rebuild entry
    // {
      meta = {
        description = "cargo package of ${entry.name} ${entry.version}, from its commit";
        timeout = 3600;
        maxSilent = 1800;
      };
    }
  ) plan.rebuilds;

  # One verdict per crate of the lock file. Each succeeds, whatever it says.
  verdicts = builtins.mapAttrs verdict plan.rebuilds // builtins.mapAttrs settled plan.settled;
in
{
  rebuilds = walked rebuilds;
  verdicts = walked verdicts;

  # One per verdict, that fails where it is worse than accepted: for `nix flake check`.
  gates = walked (builtins.mapAttrs gate verdicts);

  # One over all. To Hydra it is an aggregate, too, and red where a verdict is.
  report = judged "report" "report" "whether these crates are what their commits give" {
    _hydraAggregate = true;
    inherit accept;
    constituents = builtins.attrValues verdicts;
    skipped = builtins.toJSON plan.skipped;
    passAsFile = [
      "constituents"
      "skipped"
    ];
  };

  # The .drv paths of rebuilds, by job name: what the driver compares with its own; and those of verdicts.
  drvPaths = builtins.mapAttrs (_: drv: drv.drvPath) rebuilds;
  verdictDrvPaths = builtins.mapAttrs (_: drv: drv.drvPath) verdicts;
}
