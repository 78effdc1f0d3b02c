//! What differs between operating systems. On Windows it is compiled but not tested.

#[cfg(feature = "posters")]
pub(crate) use imp::{
    changed_and_inode, has_no_locks, is_locked, is_shortage, is_still_at, open_without_following, read_exact_at,
    remove_locked, write_all_at,
};
pub(crate) use imp::{open_without_waiting, share, sync_folder};

#[cfg(unix)]
mod imp {
    #[cfg(feature = "posters")]
    pub use posters::*;

    use std::fs::{File, OpenOptions, Permissions};
    use std::io;
    use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
    use std::path::Path;

    use rustix::fs::OFlags;
    use rustix::io::Errno;

    /// Lets others read what becomes a result, as the umask has it: temporary files are private by
    /// default.
    pub fn share(builder: &mut tempfile::Builder) {
        builder.permissions(Permissions::from_mode(0o666));
    }

    /// Brings a rename in the folder to the disk, where the file system can do that for a folder:
    /// several of those that lie on another machine refuse, and a folder that may be written to but
    /// not read cannot even be opened.
    pub fn sync_folder(folder: &Path) -> io::Result<()> {
        const CANNOT: [Errno; 6] =
            [Errno::INVAL, Errno::NOTSUP, Errno::OPNOTSUPP, Errno::NOSYS, Errno::BADF, Errno::ACCESS];
        match File::open(folder).and_then(|folder| folder.sync_all()) {
            Err(error) if Errno::from_io_error(&error).is_some_and(|error| CANNOT.contains(&error)) => Ok(()),
            synced => synced,
        }
    }

    /// Opens a file for reading; a pipe is opened without waiting for whoever is at its other
    /// end.
    pub fn open_without_waiting(path: &Path) -> io::Result<File> {
        let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
        OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
    }

    #[cfg(feature = "posters")]
    mod posters {
        use std::fs::{File, Metadata, OpenOptions, remove_file, symlink_metadata};
        use std::io;
        use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
        use std::path::Path;

        use rustix::fs::OFlags;
        use rustix::io::Errno;

        /// Opens a file, but not what it links to; a pipe is opened without waiting for whoever is
        /// at its other end.
        pub fn open_without_following(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
            options.custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed()).open(path)
        }

        /// Whether the error says that the process is out of file handles or memory.
        pub fn is_shortage(error: &io::Error) -> bool {
            let errno = Errno::from_io_error(error);
            error.kind() == io::ErrorKind::OutOfMemory || matches!(errno, Some(Errno::MFILE | Errno::NFILE))
        }

        /// When anything of the file was changed last, in nanoseconds since 1970, and its number in
        /// the file system.
        pub fn changed_and_inode(metadata: &Metadata) -> (i64, u64) {
            let seconds = metadata.ctime().saturating_mul(1_000_000_000);
            (seconds.saturating_add(metadata.ctime_nsec()), metadata.ino())
        }

        /// Whether the error of a lock says that the file system has none.
        pub fn has_no_locks(error: &io::Error) -> bool {
            const WITHOUT: [Errno; 4] = [Errno::NOLCK, Errno::NOSYS, Errno::NOTSUP, Errno::OPNOTSUPP];
            Errno::from_io_error(error).is_some_and(|error| WITHOUT.contains(&error))
        }

        /// Whether the error of reading says that another process has locked the file: never here,
        /// where locks keep nobody from reading.
        pub fn is_locked(_error: &io::Error) -> bool {
            false
        }

        /// Whether `path` still names `file`, and not another file that has taken its place.
        pub fn is_still_at(file: &File, path: &Path) -> bool {
            let same = |a: &Metadata, b: &Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
            file.metadata().is_ok_and(|ours| symlink_metadata(path).is_ok_and(|there| same(&ours, &there)))
        }

        /// Removes a locked file.
        pub fn remove_locked(_file: &File, path: &Path) -> io::Result<()> {
            remove_file(path)
        }

        /// Fills `bytes` from a place in the file.
        pub fn read_exact_at(file: &File, bytes: &mut [u8], at: u64) -> io::Result<()> {
            file.read_exact_at(bytes, at)
        }

        /// Writes `bytes` to a place in the file.
        pub fn write_all_at(file: &File, bytes: &[u8], at: u64) -> io::Result<()> {
            file.write_all_at(bytes, at)
        }
    }
}

#[cfg(windows)]
mod imp {
    use std::fs::{File, OpenOptions};
    use std::io;
    use std::os::windows::fs::{FileExt, OpenOptionsExt};
    use std::path::Path;

    /// Files inherit the permissions of their folder.
    pub fn share(_builder: &mut tempfile::Builder) {}

    /// A folder cannot be synced by itself; the file system's journal keeps renames in order.
    pub fn sync_folder(_folder: &Path) -> io::Result<()> {
        Ok(())
    }

    /// Opens a file, but not what it links to.
    pub fn open_without_following(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
        const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
        options.custom_flags(FILE_FLAG_OPEN_REPARSE_POINT).open(path)
    }

    /// Opens a file for reading.
    pub fn open_without_waiting(path: &Path) -> io::Result<File> {
        File::open(path)
    }

    /// Whether the error says that the process is out of file handles or memory.
    pub fn is_shortage(error: &io::Error) -> bool {
        const ERROR_TOO_MANY_OPEN_FILES: i32 = 4;
        error.kind() == io::ErrorKind::OutOfMemory || error.raw_os_error() == Some(ERROR_TOO_MANY_OPEN_FILES)
    }

    /// Such a time and such a number are not asked for here.
    pub fn changed_and_inode(_metadata: &std::fs::Metadata) -> (i64, u64) {
        (0, 0)
    }

    /// Whether the error of a lock says that the file system has none.
    pub fn has_no_locks(error: &io::Error) -> bool {
        error.kind() == io::ErrorKind::Unsupported
    }

    /// Whether the error of reading says that another process has locked the file.
    pub fn is_locked(error: &io::Error) -> bool {
        const ERROR_LOCK_VIOLATION: i32 = 33;
        error.raw_os_error() == Some(ERROR_LOCK_VIOLATION)
    }

    /// Whether `path` still names `file`: locked files are not removed here, so it does.
    pub fn is_still_at(_file: &File, _path: &Path) -> bool {
        true
    }

    /// Empties a locked file: whether another process has it open cannot be told here, so it stays.
    pub fn remove_locked(file: &File, _path: &Path) -> io::Result<()> {
        file.set_len(0)
    }

    /// Fills `bytes` from a place in the file.
    pub fn read_exact_at(file: &File, mut bytes: &mut [u8], mut at: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match file.seek_read(bytes, at)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => {
                    bytes = &mut bytes[read..];
                    at += read as u64;
                }
            }
        }
        Ok(())
    }

    /// Writes `bytes` to a place in the file.
    pub fn write_all_at(file: &File, mut bytes: &[u8], mut at: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match file.seek_write(bytes, at)? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                written => {
                    bytes = &bytes[written..];
                    at += written as u64;
                }
            }
        }
        Ok(())
    }
}
