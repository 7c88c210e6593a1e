//! How a connection begins: the worker writes eight bytes that no shell writes, then both say who they
//! are. A shell that talks before it starts the worker is skipped, and quoted where no worker answers.

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

use super::connection::Receiver;
use super::{Hello, WireError, parts};

/// What a worker writes first.
pub const MAGIC: [u8; 8] = [0x89, b'F', b'L', b'O', b'W', b'H', b'\n', 0x1a];

/// Bytes that may come before it.
const SKIPPED: usize = 64 << 10;

/// Bytes that a greeting may have.
const GREETING: usize = 64 << 10;

/// Letters of what was skipped that are quoted.
const QUOTE: usize = 400;

/// The worker's side: writes the magic and `ours`, and reads who the client is.
///
/// # Errors
/// Fails when the connection fails, or the client is no client of this protocol.
pub async fn greet<R: AsyncRead + Unpin>(
    mut from: Receiver<R>,
    mut to: impl AsyncWrite + Unpin,
    ours: &Hello,
) -> Result<(Receiver<R>, Hello), WireError> {
    to.write_all(&MAGIC).await?;
    say(&mut to, ours).await?;
    let theirs = hear(&mut from).await?;
    ours.meet(&theirs)?;
    Ok((from, theirs))
}

/// The client's side: looks for the magic, reads who the worker is, and writes `ours`.
///
/// # Errors
/// Fails when the connection fails, no worker answers, or it is one of another protocol.
pub async fn answer<R: AsyncRead + Unpin>(
    from: R,
    mut to: impl AsyncWrite + Unpin,
    ours: &Hello,
) -> Result<(Receiver<R>, Hello), WireError> {
    let mut receiver = Receiver::new(from);
    let end = loop {
        let buffer = receiver.buffer();
        if let Some(at) = buffer.windows(MAGIC.len()).position(|window| window == MAGIC) {
            break at + MAGIC.len();
        }
        if buffer.len() > SKIPPED + MAGIC.len() {
            return Err(no_magic(buffer));
        }
        match receiver.read().await {
            Ok(0) | Err(WireError::Silent) => return Err(no_magic(receiver.buffer())),
            Ok(_) => {}
            Err(error) => return Err(error),
        }
    };
    drop(receiver.buffer().split_to(end));
    let theirs = hear(&mut receiver).await?;
    // Said in any case, so that the other side can say what is wrong as well.
    say(&mut to, ours).await?;
    ours.meet(&theirs)?;
    Ok((receiver, theirs))
}

async fn say(to: &mut (impl AsyncWrite + Unpin), hello: &Hello) -> Result<(), WireError> {
    let json = serde_json::to_vec(hello)?;
    let length = u32::try_from(json.len()).unwrap_or(u32::MAX).to_le_bytes();
    to.write_all(&[&length[..], &json].concat()).await?;
    Ok(to.flush().await?)
}

async fn hear<R: AsyncRead + Unpin>(receiver: &mut Receiver<R>) -> Result<Hello, WireError> {
    // Looked at before a frame's worth of bytes is waited for.
    while receiver.buffer().len() < parts::LENGTH {
        if receiver.read().await? == 0 {
            let nothing = receiver.buffer().is_empty();
            return Err(if nothing { WireError::Unbegun } else { WireError::Cut });
        }
    }
    let claimed = receiver.buffer().split_first_chunk().map_or(0, |(length, _)| u32::from_le_bytes(*length));
    if claimed as usize > GREETING {
        return Err(WireError::FrameTooLarge(claimed.into()));
    }
    let json = receiver.frame().await?.ok_or(WireError::Cut)?;
    Ok(serde_json::from_slice(&json)?)
}

fn no_magic(skipped: &[u8]) -> WireError {
    let text = String::from_utf8_lossy(skipped);
    let letters: Vec<char> = text.trim().chars().collect();
    let from = letters.len().saturating_sub(QUOTE);
    let quote =
        letters.get(from..).unwrap_or_default().iter().flat_map(|letter| letter.escape_debug()).collect();
    WireError::NoMagic { bytes: skipped.len(), quote }
}
